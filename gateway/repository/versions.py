"""Which of the version folders of a model are served."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from gateway.core.model import MAX_VERSION

# No leading zero: 1 and 01 would be two folders for one version.
_FOLDER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


class Latest(msgspec.Struct, frozen=True, tag="latest"):
    """The `count` highest ones, at least 1."""

    count: int = 1


class All(msgspec.Struct, frozen=True, tag="all"):
    """Every one there is."""


class Specific(msgspec.Struct, frozen=True, tag="specific"):
    """These, as far as they are there; at least one, ascending, no two the same."""

    versions: tuple[int, ...]


VersionPolicy = Latest | All | Specific


def parse_folder(name: str) -> int | None:
    """The version a folder of this name holds; None where it is not a version's folder."""
    if not _FOLDER.fullmatch(name):
        return None
    version = int(name)
    return version if version <= MAX_VERSION else None


def select(policy: VersionPolicy, available: Iterable[int]) -> tuple[int, ...]:
    """The served ones of `available`, ascending."""
    ascending = sorted(set(available))
    match policy:
        case Latest(count):
            return tuple(ascending[-count:])
        case All():
            return tuple(ascending)
        case Specific(versions):
            return tuple(version for version in ascending if version in versions)
