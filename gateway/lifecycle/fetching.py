"""Brings versions of stores to this machine: a few at a time, each once, however many ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from gateway.lifecycle.offers import Offer
from gateway.repository.sources import Sources
from gateway.repository.stores.cache import Cache, Download, DownloadFailed
from gateway.repository.stores.objects import StoredObject, StoreFailed

log = logging.getLogger("gateway.lifecycle")

# Side by side: one may wait for a slow store while another's few bytes come.
AT_A_TIME = 4

Done = Callable[[str, str], None]


class Fetcher:
    """Implements means.Fetching; fetches while `run` runs, and then what was asked for before.

    Invariant: one task for each version in `_waiting`, which may be nobody's by now.
    """

    def __init__(self, sources: Sources, cache: Cache) -> None:
        self._sources = sources
        self._cache = cache
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._group: asyncio.TaskGroup | None = None
        self._early: list[Offer] = []
        self._waiting: dict[str, list[Done]] = {}
        self._paths: dict[str, str] = {}  # marks by the folders that were handed out

    async def run(self) -> None:
        """Opens the cache, and fetches until it is cancelled."""
        await asyncio.to_thread(self._cache.open)
        async with asyncio.TaskGroup() as group:
            self._group = group
            early, self._early = self._early, []
            for offer in early:
                self._begin(offer)
            await asyncio.Event().wait()

    def takes_time(self, offer: Offer) -> bool:
        """See means.Fetching."""
        return bool(offer.source)

    def fetch(self, offer: Offer, on_done: Done) -> Callable[[], None]:
        """See means.Fetching."""
        mark = offer.mark
        if mark not in self._waiting:
            self._begin(offer)
        self._waiting.setdefault(mark, []).append(on_done)

        def stop() -> None:
            """The download goes on: it is whole soon, and will be asked for again."""
            if on_done in self._waiting.get(mark, []):
                self._waiting[mark].remove(on_done)

        return stop

    def _begin(self, offer: Offer) -> None:
        if self._group is None:
            self._early.append(offer)
        else:
            self._group.create_task(self._bring(offer), name=f"fetch {offer.key}")

    def release(self, path: str) -> None:
        """See means.Fetching."""
        self._cache.release(self._paths[path])

    async def _bring(self, offer: Offer) -> None:
        mark, path, reason = offer.mark, "", ""
        async with self._slots:
            try:
                path = await asyncio.to_thread(self._get, offer)
            except (StoreFailed, DownloadFailed) as error:
                reason = error.text
            except OSError as error:
                reason = f"its files cannot be kept here: {error.strerror or type(error).__name__}"
        waiting = self._waiting.pop(mark, [])
        if path:
            self._paths[path] = mark
            for _ in waiting[1:]:
                await asyncio.to_thread(self._cache.hold, mark)
            if not waiting:  # nobody wants it any more
                self._cache.release(mark)
        for done in waiting:
            done(path, reason)

    def _get(self, offer: Offer) -> str:
        """The version's folder, held; in a thread."""
        held = self._cache.hold(offer.mark)
        if held is not None:
            return str(held)
        return str(self._cache.put(offer.mark, self._downloads(offer)))

    def _downloads(self, offer: Offer) -> Iterator[Download]:
        objects = self._sources.objects(offer.source)
        for file in offer.files:
            stored = StoredObject(file.key, file.size_bytes, file.tag)
            yield Download(file.path, objects.download(stored), file.size_bytes, file.sha256)
