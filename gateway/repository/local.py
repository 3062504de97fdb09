"""Scans a folder in Triton's layout: <model>/[config.pbtxt]/<version>/<model file>.

One broken model never hides another: its entry says why, and the scan goes on. A version folder
without its model file, or with an empty one, counts as not there yet, so that an upload in progress
does not displace the version that serves.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from gateway.core.errors import InvalidInput
from gateway.core.model import check_name
from gateway.repository.catalogue import (
    Catalogue,
    ConfigFile,
    Ignored,
    ModelEntry,
    Override,
    PartialConfig,
    RefusedVersion,
    VersionEntry,
)
from gateway.repository.folder import (
    FolderRefused,
    fingerprint,
    resolve,
    shown,
    survey,
    why,
)
from gateway.repository.index import merge, refuse_clashes
from gateway.repository.parts import refuse_unsound
from gateway.repository.reading import choose, choose_file, read_config
from gateway.repository.versions import parse_folder

_NO_CATALOGUE = Catalogue()

Overrides = Mapping[str, Override]
_NO_OVERRIDES: Overrides = MappingProxyType({})


class RepositoryUnreachable(Exception):
    """The folder itself cannot be listed now: keep the last catalogue. `text` has its base name only."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Local:
    """All local repositories together; remembers each as it was found, so that a look may be at a part.

    Blocks; one look at a time. Invariant: `_found` has the roots' catalogues before any is held against
    another, which is how an entry that was refused on another's account comes back when that goes.
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(roots)
        self._found: tuple[Catalogue, ...] = ()
        self.linked: frozenset[str] = (
            frozenset()
        )  # models of which a part lies elsewhere, at the last whole look

    def look(self, overrides: Overrides = _NO_OVERRIDES, names: Collection[str] | None = None) -> Catalogue:
        """Everything, or what it was with `names` looked at anew; raises RepositoryUnreachable."""
        known = self._found or (_NO_CATALOGUE,) * len(self._roots)
        if names is None or not self._found:
            self._found = tuple(
                _found(root, before, overrides) for root, before in zip(self._roots, known, strict=True)
            )
            self.linked = frozenset(
                name
                for root, found in zip(self._roots, self._found, strict=True)
                for name in _linked(os.path.realpath(root), found)
            )
        else:
            self._found = tuple(
                _found_again(root, before, overrides, names)
                for root, before in zip(self._roots, known, strict=True)
            )
        return _combined(self._found, overrides)


def scan_all(
    roots: Iterable[Path], previous: Catalogue = _NO_CATALOGUE, overrides: Overrides = _NO_OVERRIDES
) -> Catalogue:
    """Every repository in one catalogue; raises RepositoryUnreachable where one of them is."""
    return _combined([_found(root, previous, overrides) for root in roots], overrides, previous)


def _combined(
    catalogues: Sequence[Catalogue], overrides: Overrides, previous: Catalogue = _NO_CATALOGUE
) -> Catalogue:
    found = merge(catalogues)
    elsewhere = {
        name: _read_model(name, override.root, previous.entries.get(name), override.config)
        for name, override in overrides.items()
        if override.root
    }
    entries = refuse_clashes({**found.entries, **elsewhere}) if elsewhere else found.entries
    return Catalogue(refuse_unsound(entries), found.ignored)


def scan_one(
    roots: Iterable[Path], name: str, previous: Catalogue, override: Override | None = None
) -> ModelEntry | None:
    """One model as `scan_all` would find it now, None where it is nowhere; raises RepositoryUnreachable.

    Must be called with a name that `check_name` has passed.
    """
    known, config = previous.entries.get(name), override.config if override else None
    if override and override.root:
        entries = [_read_model(name, override.root, known, config)]
    else:
        reals = [_listed(root)[0] for root in roots]
        entries = [
            _read_model(name, real, known, config) for real in reals if os.path.isdir(f"{real}/{name}")
        ]
    if not entries:
        return None
    found = merge([Catalogue({name: entry}) for entry in entries]).entries[name]
    return refuse_unsound(refuse_clashes({**previous.entries, name: found}))[name]


def scan(root: Path, previous: Catalogue = _NO_CATALOGUE, overrides: Overrides = _NO_OVERRIDES) -> Catalogue:
    """What lies in `root` now; blocks on the disk; raises RepositoryUnreachable.

    Reads names, states and configurations; parses a configuration (0.2 ms) only where it differs from
    that in `previous`.
    """
    found = _found(root, previous, overrides)
    return Catalogue(refuse_clashes(found.entries), found.ignored)


def _found(root: Path, previous: Catalogue, overrides: Overrides) -> Catalogue:
    real, names = _listed(root)
    return _read(real, names, Catalogue(), previous, overrides)


def _found_again(root: Path, before: Catalogue, overrides: Overrides, names: Collection[str]) -> Catalogue:
    """`before`, but for `names`, which are looked at."""
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        raise RepositoryUnreachable(f"repository '{shown(root.name)}': is not there")
    rest = {name: entry for name, entry in before.entries.items() if name not in names}
    told = {shown(name) for name in names}
    ignored = tuple(one for one in before.ignored if one.name not in told)
    return _read(real, sorted(names), Catalogue(rest, ignored), before, overrides)


def _read(
    real: str, names: Iterable[str], rest: Catalogue, previous: Catalogue, overrides: Overrides
) -> Catalogue:
    """`rest` and the models of these names that are there."""
    entries, ignored = dict(rest.entries), list(rest.ignored)
    for name in names:
        if name.startswith(".") or not os.path.isdir(f"{real}/{name}"):
            continue
        try:
            check_name(name)
        except InvalidInput as error:
            ignored.append(Ignored(shown(name), error.text))
            continue
        override = overrides.get(name)
        config = override.config if override else None
        entries[name] = _read_model(name, real, previous.entries.get(name), config)
    return Catalogue(entries, tuple(ignored))


def _linked(root: str, found: Catalogue) -> Iterable[str]:
    """Those whose folder, or one of whose versions, is a link: changes of what that leads to go unseen."""
    for name, entry in found.entries.items():
        folder = f"{root}/{name}"
        if os.path.islink(folder) or any(one.path != f"{folder}/{one.version}" for one in entry.versions):
            yield name


def _listed(root: Path) -> tuple[str, list[str]]:
    """The folder without links, and the names in it, sorted."""
    real = os.path.realpath(root)
    try:
        return real, sorted(os.listdir(real))
    except OSError as error:
        raise RepositoryUnreachable(f"repository '{shown(root.name)}': {why(error)}") from None


def _read_model(name: str, root: str, previous: ModelEntry | None, config: bytes | None) -> ModelEntry:
    """What lies in the folder; `config` stands in place of its config.pbtxt."""
    known = previous.config_file if previous else ConfigFile()
    try:
        folder = resolve(f"{root}/{name}", root)
        config_file = read_config(folder, name, root, known, config)
        if config_file.problem:
            return ModelEntry(name, (), config_file, broken=config_file.problem)
        numbers = sorted(version for version in map(parse_folder, os.listdir(folder)) if version)
    except FolderRefused as error:
        return ModelEntry(name, (), broken=error.text)
    except OSError as error:
        return ModelEntry(name, (), broken=f"cannot be read: {why(error)}")
    found = [_read_version(folder, number, root, config_file.config) for number in numbers]
    return choose(name, config_file, [entry for entry in found if entry is not None])


def _read_version(
    folder: str, version: int, root: str, config: PartialConfig
) -> VersionEntry | RefusedVersion | None:
    """One version folder; None where the name is a file's, or gone by now."""
    try:
        real = resolve(f"{folder}/{version}", root)
        if not os.path.isdir(real):
            return None
        stamps = survey(real, root)
        chosen, file = choose_file({stamp.name: stamp for stamp in stamps}, config)
    except FolderRefused as error:
        return RefusedVersion(version, error.text)
    except OSError as error:
        return RefusedVersion(version, f"cannot be read: {why(error)}")
    mark = fingerprint(repr(stamps).encode())
    size_bytes = sum(stamp.size_bytes for stamp in stamps)
    return VersionEntry(version, real, mark, file, chosen.platform, chosen.backend, size_bytes)
