"""All places that models come from: local folders, looked at each time, and stores, each at its own pace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from gateway.core.clock import Clock
from gateway.repository.catalogue import Catalogue, ModelEntry, Override
from gateway.repository.index import merge, refuse_clashes
from gateway.repository.local import Local, scan_one
from gateway.repository.parts import refuse_unsound
from gateway.repository.settings import StoreSettings
from gateway.repository.stores.objects import Objects, ObstoreObjects, StoreFailed
from gateway.repository.stores.source import Source

log = logging.getLogger("gateway.repository")

Open = Callable[[StoreSettings], Objects]
_NO_OVERRIDES: Mapping[str, Override] = MappingProxyType({})


class Sources:
    """Blocks; one look at a time. A store that does not answer keeps what it was last known to have."""

    def __init__(
        self,
        paths: Sequence[Path],
        stores: Iterable[StoreSettings],
        cache: Path | None,
        clock: Clock,
        open_store: Open = ObstoreObjects,
    ) -> None:
        self._paths = tuple(paths)
        self._local = Local(self._paths)
        self._clock = clock
        self._stores = tuple(stores)
        self._cache = cache
        self._open_store = open_store
        self._sources: dict[str, Source] = {}
        self._due: dict[str, float] = {}
        self._faults: dict[str, str] = {}

    @property
    def linked(self) -> frozenset[str]:
        """Local models of which a part lies elsewhere, where nobody tells of changes."""
        return self._local.linked

    @property
    def is_due(self) -> bool:
        """True when it is time to look at a store."""
        now = self._clock()
        return any(now >= self._due.get(one.name, 0.0) for one in self._stores)

    def look(self, overrides: Mapping[str, Override], names: Collection[str] | None = None) -> Catalogue:
        """All there is now, of local models only `names` looked at anew where they are given.

        Raises RepositoryUnreachable for a local folder that cannot be read.
        """
        now = self._clock()
        for settings in self._stores:
            if now >= self._due.get(settings.name, 0.0):
                self._due[settings.name] = now + settings.poll_s
                self._look_at(settings)
        return self._joined(self._local.look(overrides, names))

    def look_for(self, name: str, previous: Catalogue, override: Override | None) -> ModelEntry | None:
        """One model as `look` would find it now, stores included; None where it is nowhere."""
        for settings in self._stores:
            self._look_at(settings)
        if not self._stores or (override and override.root):
            return scan_one(self._paths, name, previous, override)
        return self.look({} if override is None else {name: override}, {name}).entries.get(name)

    def objects(self, source: str) -> Objects:
        """Where a source's files are read from."""
        return self._sources[source].objects

    def _look_at(self, settings: StoreSettings) -> None:
        try:
            self._opened(settings).look()
        except (StoreFailed, OSError) as error:
            text = error.text if isinstance(error, StoreFailed) else f"the cache: {error.strerror}"
            if self._faults.get(settings.name) != text:
                log.error("%s; what is known goes on being served", text)
            self._faults[settings.name] = text
        else:
            if self._faults.pop(settings.name, ""):
                log.info("store '%s' answers again", settings.name)

    def _opened(self, settings: StoreSettings) -> Source:
        if settings.name not in self._sources:
            assert self._cache is not None, "settings see to it"
            mirror = self._cache / "mirrors" / settings.name
            mirror.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sources[settings.name] = Source(settings, self._open_store(settings), mirror)
        return self._sources[settings.name]

    def _joined(self, local: Catalogue) -> Catalogue:
        if not self._sources:
            return local
        found = merge([local, *(source.catalogue for source in self._sources.values())])
        return Catalogue(refuse_unsound(refuse_clashes(found.entries)), found.ignored)
