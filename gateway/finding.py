"""What the controller finds models by, put together: a part of its composition."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.clock import monotonic_s
from gateway.lifecycle.fetching import Fetcher
from gateway.lifecycle.looks import Looks
from gateway.repository.settings import RepositorySettings
from gateway.repository.sources import Sources
from gateway.repository.stores.cache import Cache
from gateway.repository.watching import Watcher


class Found(NamedTuple):
    """What finds models: all their places, what brings those of stores here, and who tells of changes."""

    sources: Sources
    fetcher: Fetcher | None
    watcher: Watcher | None
    looks: Looks


def found(settings: RepositorySettings) -> Found:
    sources = Sources(settings.paths, settings.stores, settings.cache, monotonic_s)
    fetcher = None
    if settings.cache is not None:
        fetcher = Fetcher(sources, Cache(settings.cache, settings.cache_max_bytes))
    watcher = Watcher(settings.paths) if settings.watch and settings.poll_s else None
    return Found(sources, fetcher, watcher, Looks(watcher, settings.rescan_s, monotonic_s))
