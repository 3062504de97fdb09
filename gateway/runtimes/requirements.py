"""A model's requirements.txt against what is installed where it will run; nothing is ever installed.

`packaging` is imported when it is needed and not before: every worker would have it then, and no
environment could bring another release of it.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.runtimes.contract import LoadError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

FILE = "requirements.txt"
_COMMENT = re.compile(r"(^|\s)#.*$")
# A project without a name, which only an installer could give one.
_PLACE = re.compile(r"[./]|[\w+]+:")

# The installed version of a project, None where it is not installed.
Installed = Callable[[str], str | None]


def check_requirements(folder: Path, where: str) -> None:
    """Raises LoadError where something that `folder`'s requirements.txt asks for is not installed.

    `where` is what the packages on sys.path are called in the refusal.
    """
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{FILE} cannot be read: {type(error).__name__}") from None
    missing = unsatisfied(read(text.splitlines()), installed_version)
    if missing:
        raise LoadError(f"{FILE}: not installed in {where}: {', '.join(missing)}")


def read(lines: Iterable[str]) -> list[Requirement]:
    """The requirements that apply to this interpreter; raises LoadError for a line that is none.

    Options (`-r other.txt`, `--hash=…`) are for an installer, as are files and addresses without a name.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for number, line in _joined(lines):
        text = _COMMENT.sub("", line).partition(" --")[0].strip()
        if not text or text.startswith("-") or _PLACE.match(text):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise LoadError(f"{FILE}: line {number} is not a requirement") from None
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found


def _joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines that end in a backslash with those that follow, each with its first one's number."""
    begun, parts = 0, ""
    for number, line in enumerate(lines, 1):
        begun = begun or number
        if line.endswith("\\"):
            parts += line[:-1]
            continue
        yield begun, parts + line
        begun, parts = 0, ""
    if parts:
        yield begun, parts


def unsatisfied(requirements: Iterable[Requirement], installed: Installed) -> list[str]:
    """Those that are not there, or in another version, which is then told."""
    missing = []
    for requirement in requirements:
        version = installed(requirement.name)
        if version is None:
            missing.append(_shown(requirement))
        elif not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{_shown(requirement)} (there is {version})")
    return missing


def _shown(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def installed_version(project: str) -> str | None:
    """Of the first distribution of that name on sys.path."""
    try:
        return importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return None
