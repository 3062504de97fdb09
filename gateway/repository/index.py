"""Catalogues compared and joined: pure functions of values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.repository.catalogue import Catalogue, ModelEntry, VersionEntry


class ModelChange(NamedTuple):
    """The same model, before and after."""

    old: ModelEntry
    new: ModelEntry


class Changes(NamedTuple):
    """From one catalogue to the next, each in order of name."""

    added: tuple[ModelEntry, ...]
    changed: tuple[ModelChange, ...]
    removed: tuple[ModelEntry, ...]


class VersionChanges(NamedTuple):
    """From one entry of a model to the next; every version that stays is in neither field.

    `rewritten` versions must be loaded anew: their files changed, or the configuration of them all.
    """

    added: tuple[VersionEntry, ...]
    rewritten: tuple[VersionEntry, ...]
    removed: tuple[VersionEntry, ...]


def diff(old: Catalogue, new: Catalogue) -> Changes:
    """What a holder of `old` must be told to hold `new`; a comment changed in config.pbtxt is nothing."""
    before, after = old.entries, new.entries
    both = sorted(before.keys() & after.keys())
    return Changes(
        added=tuple(after[name] for name in sorted(after.keys() - before.keys())),
        changed=tuple(
            ModelChange(before[name], after[name])
            for name in both
            if not _means_the_same(before[name], after[name])
        ),
        removed=tuple(before[name] for name in sorted(before.keys() - after.keys())),
    )


def _means_the_same(old: ModelEntry, new: ModelEntry) -> bool:
    return (old.versions, old.refused, old.broken, old.config, old.beside) == (
        new.versions,
        new.refused,
        new.broken,
        new.config,
        new.beside,
    )


def diff_versions(old: ModelEntry, new: ModelEntry) -> VersionChanges:
    """Which versions of a changed model come, go, or must be loaded anew."""
    before = {entry.version: entry for entry in old.versions}
    after = {entry.version: entry for entry in new.versions}
    both = sorted(before.keys() & after.keys())
    # Which versions are served, what they are called and how many instances they have is no property of
    # any one of them.
    told = new.config
    same_config = old.beside == new.beside and told == msgspec.structs.replace(
        old.config,
        version_policy=told.version_policy,
        labels=told.labels,
        written=told.written,
        scale=told.scale,
    )
    return VersionChanges(
        added=tuple(after[version] for version in sorted(after.keys() - before.keys())),
        rewritten=tuple(
            after[version] for version in both if not same_config or before[version] != after[version]
        ),
        removed=tuple(before[version] for version in sorted(before.keys() - after.keys())),
    )


def settle(served: Catalogue, previous: Catalogue, current: Catalogue) -> Catalogue:
    """`current`, but with what is served now for every model that differs between the last two scans.

    A file still being written changes from scan to scan: a model is taken over, or given up, once two
    scans in a row agree on it. The first scan of all has nothing to wait for: serve it as it is.
    """
    entries = {}
    for name in sorted(current.entries.keys() | served.entries.keys()):
        seen = current.entries.get(name)
        kept = seen if seen == previous.entries.get(name) else served.entries.get(name)
        if kept is not None:
            entries[name] = kept
    return Catalogue(entries, current.ignored)


def merge(catalogues: Sequence[Catalogue]) -> Catalogue:
    """All of them as one; a name that stands in two is served from neither."""
    times = Counter(name for catalogue in catalogues for name in catalogue.entries)
    entries = {name: entry for catalogue in catalogues for name, entry in catalogue.entries.items()}
    for name, count in times.items():
        if count > 1:
            entries[name] = ModelEntry(name, (), broken=f"stands in {count} repositories")
    ignored = tuple(entry for catalogue in catalogues for entry in catalogue.ignored)
    return Catalogue(refuse_clashes(entries), ignored)


def refuse_clashes(entries: Mapping[str, ModelEntry]) -> dict[str, ModelEntry]:
    """`entries` in order of name; of names that differ in case only, none is served.

    They are one folder wherever the repository is copied to a file system that folds case.
    """
    times = Counter(map(str.lower, entries))
    return {
        name: _refuse_clash(entry, entries) if times[name.lower()] > 1 else entry
        for name, entry in sorted(entries.items())
    }


def _refuse_clash(entry: ModelEntry, names: Iterable[str]) -> ModelEntry:
    others = sorted(name for name in names if name != entry.name and name.lower() == entry.name.lower())
    return ModelEntry(entry.name, (), broken=f"differs from '{others[0]}' in upper and lower case only")
