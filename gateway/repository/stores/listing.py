"""A store's listing as models: which files lie beside a configuration, which make up which version. Pure.

Names come from outside: whatever could leave a folder, hide in it, or be two files in one place makes its
version unusable, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.core.model import NAME
from gateway.repository.stores.objects import StoredObject
from gateway.repository.versions import parse_folder

MAX_DEPTH = 8
MAX_PART = 200


class StoredModel(NamedTuple):
    """`beside` are the files of the model's own folder, `versions` those of each version, by relative path.

    `faults` are versions whose names cannot be used.
    """

    beside: Mapping[str, StoredObject]
    versions: Mapping[int, Mapping[str, StoredObject]]
    faults: Mapping[int, str]


def models_of(listed: Iterable[StoredObject]) -> dict[str, StoredModel]:
    """The models of a listing, by name; what lies outside of any model's folder is left out."""
    beside: dict[str, dict[str, StoredObject]] = {}
    versions: dict[str, dict[int, dict[str, StoredObject]]] = {}
    faults: dict[str, dict[int, str]] = {}
    for one in listed:
        name, _, rest = one.path.partition("/")
        if not rest or not NAME.fullmatch(name):
            continue
        first, _, inner = rest.partition("/")
        version = parse_folder(first) if inner else None
        beside.setdefault(name, {})
        if version:
            if fault := fault_of(inner):
                faults.setdefault(name, {})[version] = fault
            versions.setdefault(name, {}).setdefault(version, {})[inner] = one
        elif (not inner and not fault_of(rest)) or (not fault_of(rest) and not first.isdigit()):
            beside[name][rest] = one
    for name, several in versions.items():
        for version, files in several.items():
            if fault := clash_of(files):
                faults.setdefault(name, {}).setdefault(version, fault)
    return {
        name: StoredModel(files, versions.get(name, {}), faults.get(name, {}))
        for name, files in sorted(beside.items())
    }


def fault_of(path: str) -> str:
    """Why a path below a version cannot be a file here; "" if it can."""
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        return f"a file lies more than {MAX_DEPTH} folders deep"
    for part in parts:
        if part in {"", ".", ".."}:
            return "the name of a file has an empty part, '.' or '..'"
        if len(part.encode("utf-8", "replace")) > MAX_PART:
            return f"a part of a file's name is longer than {MAX_PART} bytes"
        if not part.isprintable() or "\\" in part:
            return "the name of a file has control characters or a backslash"
    return ""


def clash_of(paths: Iterable[str]) -> str:
    """Why these cannot lie in one folder; "" if they can."""
    seen: set[str] = set()
    folders: set[str] = set()
    for path in sorted(paths):
        folded = path.casefold()
        if folded in seen:
            return "two files differ in upper and lower case only"
        seen.add(folded)
        parts = folded.split("/")
        folders |= {"/".join(parts[:end]) for end in range(1, len(parts))}
    return "a name is a file and a folder" if seen & folders else ""


def lost_share(before: Sequence[str], now: Sequence[str]) -> float:
    """The part of the models known before that are not there now."""
    return len(set(before) - set(now)) / len(before) if before else 0.0
