"""A prepared environment for one model in Python: found, checked, put on sys.path; never made or unpacked.

DESIGN: a worker is a fork of an interpreter that has numpy and the engines imported, which is why it is
there in milliseconds. So an environment does not bring an interpreter of its own: it must be made for the
same minor release, and what it has is found before what the gateway has. Extension modules cannot be had
twice in a process, so an environment with another version of one that is imported already (numpy, an
engine) is refused by name; what is Python alone is imported once more, from there. Rejected: running the
environment's own interpreter, a second to start and in need of everything the worker is made of.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.core.environment import FOLDER_OPTION, MODEL_DIRECTORY, PARAMETER
from gateway.runtimes.contract import LoadError
from gateway.runtimes.requirements import installed_version


class Environment(NamedTuple):
    """One that fits; `name` is what people are told."""

    name: str
    packages: Path


class Conflict(NamedTuple):
    """A project that is imported already as `module`, and of which an environment has another version."""

    project: str
    theirs: str
    ours: str
    module: str


def enter(options: Mapping[str, str], model_folder: Path) -> Environment | None:
    """Puts what `options` name before all that is not imported yet; None where they name nothing.

    Must be called in a process of the model's own, for it changes what that can import. Raises LoadError.
    """
    if PARAMETER not in options:
        return None
    folder = locate(options[PARAMETER], model_folder, options.get(FOLDER_OPTION, ""))
    environment = Environment(folder.name, packages_of(folder))
    conflicts = find_conflicts(installed_in(environment.packages), top_levels(sys.modules))
    if fatal := [one for one in conflicts if is_native(one.module, sys.modules)]:
        told = ", ".join(f"{one.project} {one.theirs} (there is {one.ours})" for one in fatal)
        raise LoadError(
            f"environment '{environment.name}' has another version of what every worker has imported: {told}"
        )
    for name in [name for name in sys.modules if top_level(name) in {one.module for one in conflicts}]:
        del sys.modules[name]
    put_first(environment.packages)
    return environment


def locate(told: str, model_folder: Path, environments: str) -> Path:
    """The folder `told`, without links; raises LoadError where it lies anywhere but in the two folders."""
    roots = [model_folder.resolve()]
    if environments:
        roots.insert(0, Path(environments).resolve())
    if told.startswith(MODEL_DIRECTORY):
        wanted = model_folder / told.removeprefix(MODEL_DIRECTORY).lstrip("/")
    elif not environments:
        raise LoadError(
            f"{PARAMETER}: there is no folder of environments ([repository] environments); "
            f"without one it must begin with {MODEL_DIRECTORY}"
        )
    else:
        wanted = Path(environments) / told  # which is `told` alone where that is absolute
    found = wanted.resolve()
    if not any(found != root and found.is_relative_to(root) for root in roots):
        raise LoadError(f"{PARAMETER}: it is not within the folder of environments, nor the model's own")
    if not found.is_dir():
        raise LoadError(f"{PARAMETER}: there is no environment '{found.name}'")
    return found


def packages_of(folder: Path) -> Path:
    """Where its packages are; raises LoadError where it is none for this interpreter."""
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if (folder / "lib" / ours / "site-packages").is_dir():
        return folder / "lib" / ours / "site-packages"
    others = sorted(path.parent.name for path in (folder / "lib").glob("python*/site-packages"))
    if not others:
        raise LoadError(f"'{folder.name}' is no environment: it has no lib/{ours}/site-packages")
    raise LoadError(f"environment '{folder.name}' is for {', '.join(others)}, the gateway runs {ours}")


def installed_in(packages: Path) -> dict[str, tuple[str, str]]:
    """Project and version by each top-level name that a folder of packages has."""
    found = {}
    for one in importlib.metadata.distributions(path=[str(packages)]):
        told = one.metadata
        if "Name" not in told or "Version" not in told:  # what an interrupted installer leaves behind
            continue
        for name in _names_of(one):
            found[name] = (told["Name"], told["Version"])
    return found


def _names_of(one: importlib.metadata.Distribution) -> set[str]:
    told = one.read_text("top_level.txt")
    if told:
        return set(told.split())
    names = {file.parts[0] for file in one.files or ()}
    return {top_level(name) for name in names if not name.endswith((".dist-info", ".pth", ".."))}


def top_level(name: str) -> str:
    """The package of a module."""
    return name.partition(".")[0]


def top_levels(names: Iterable[str]) -> set[str]:
    """The packages of modules."""
    return {top_level(name) for name in names}


def is_native(package: str, modules: Mapping[str, object]) -> bool:
    """True if any module of a package is machine code."""
    return any(
        str(getattr(module, "__file__", None) or "").endswith(".so")
        for name, module in modules.items()
        if top_level(name) == package
    )


def find_conflicts(theirs: Mapping[str, tuple[str, str]], packages: Iterable[str]) -> list[Conflict]:
    """What of `theirs` is imported from ours, in another version; in order of name."""
    found = []
    for name in set(packages) & theirs.keys():
        project, version = theirs[name]
        ours = installed_version(project)
        if ours is not None and ours != version:
            found.append(Conflict(project, version, ours, name))
    return sorted(found)


def put_first(packages: Path) -> None:
    """Lets `packages`, and what its .pth files name, be found before all but the standard library."""
    before = list(sys.path)
    site.addsitedir(str(packages))
    added = [entry for entry in sys.path if entry not in before]
    standard = _standard_library()
    sys.path[:] = [
        *(entry for entry in before if entry in standard),
        *added,
        *(entry for entry in before if entry not in standard),
    ]
    importlib.invalidate_caches()


def _standard_library() -> set[str]:
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"]}
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return {
        *folders,
        *(f"{folder}/lib-dynload" for folder in folders),
        *(str(Path(folder).parent / archive) for folder in folders),
    }
