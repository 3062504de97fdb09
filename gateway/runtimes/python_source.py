"""A model.py and what lies beside it: requirements looked for, the file imported; nothing is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from gateway.runtimes.contract import LoadError

REQUIREMENTS = "requirements.txt"
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def check_requirements(folder: Path) -> None:
    """Raises LoadError for packages that `folder`'s requirements.txt names and this environment lacks."""
    try:
        text = (folder / REQUIREMENTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{REQUIREMENTS} cannot be read: {type(error).__name__}") from None
    missing = [name for name in required(text.splitlines()) if not _is_installed(name)]
    if missing:
        raise LoadError(f"{REQUIREMENTS}: not installed in the gateway's environment: {', '.join(missing)}")


def required(lines: Iterable[str]) -> list[str]:
    """The projects that requirement lines name.

    Lines that hold only under a condition (`; python_version < "3.12"`) and options (`-r other.txt`)
    name none: whether they apply is for an installer to decide. Nor are releases compared.
    """
    found = [_PROJECT.match(line.strip()) for line in lines if ";" not in line.partition("#")[0]]
    return [match[0] for match in found if match is not None]


def _is_installed(project: str) -> bool:
    try:
        importlib.metadata.distribution(project)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def import_file(folder: Path, file: str, version: int) -> ModuleType:
    """Runs `file` as the module "<version>.<file's stem>"; whatever it raises comes through.

    So both ways to a module beside it work: `import other` and `from .other import name`. Must be
    called in a process of the model's own: it changes what that process can import.
    """
    # A __pycache__ in the version's folder would look like a new version of the model.
    sys.dont_write_bytecode = True
    package = ModuleType(str(version))
    package.__path__ = [str(folder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == package.__name__]:
        del sys.modules[name]
    sys.modules[package.__name__] = package
    for entry in (str(folder), str(folder.parent)):
        if entry not in sys.path:
            sys.path.append(entry)
    name = f"{package.__name__}.{Path(file).stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, folder / file)
    if spec is None or spec.loader is None:
        raise LoadError(f"'{file}' is not the name of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
