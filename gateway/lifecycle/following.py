"""Follows the repository: looks at it now and then, and tells the lifecycle what it offers.

One look at a time, and each in a thread, for a disk may be slow; at how much of it, `looks` decides. What
callers have put in place of a model's configuration or files (`Override`) is part of every look from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from gateway.core.clock import monotonic_s
from gateway.core.errors import InvalidInput, ModelUnavailable, Overloaded
from gateway.lifecycle import offers
from gateway.lifecycle.looks import Looks
from gateway.lifecycle.manager import Lifecycle
from gateway.repository.catalogue import Catalogue, ModelEntry, Override
from gateway.repository.index import settle
from gateway.repository.local import RepositoryUnreachable
from gateway.repository.settings import RepositorySettings
from gateway.repository.sources import Sources

log = logging.getLogger("gateway.lifecycle")

# While the repository has never been readable, it is looked at this often.
FIRST_LOOK_S = 2.0


class Following:
    """Owns what is known of the repository, and the overrides. Invariant: looks are one after the other."""

    def __init__(
        self,
        settings: RepositorySettings,
        runtimes: Mapping[str, str],
        lifecycle: Lifecycle,
        gpus: Callable[[], int] = int,
        fronts: int = 1,
        sources: Sources | None = None,
        looks: Looks | None = None,
    ) -> None:
        self._sources = Sources(settings.paths, (), None, monotonic_s) if sources is None else sources
        self._settings = settings
        self._runtimes = runtimes
        self._lifecycle = lifecycle
        self._gpus = gpus
        self._fronts = fronts
        self._looks = looks or Looks(None, 0.0, monotonic_s)
        self._known_gpus = -1
        self._turn = asyncio.Lock()
        self._served = self._previous = Catalogue()
        self._has_looked = False
        self._fault = ""
        self.has_tried = asyncio.Event()  # the first look is over, whatever it found
        self.overrides: dict[str, Override] = {}

    async def follow(self) -> None:
        """Looks until the gateway ends, or once where the settings say so."""
        poll_s = self._settings.poll_s
        while True:
            await self._look()
            self.has_tried.set()
            if self._has_looked and not poll_s:
                return
            await asyncio.sleep(poll_s or FIRST_LOOK_S)

    async def _look(self) -> None:
        async with self._turn:
            names = self._looks.next((*self.overrides, *self._sources.linked))
            if names is not None and not names and not self._is_needed():
                return
            try:
                current = await asyncio.to_thread(self._sources.look, dict(self.overrides), names)
            except RepositoryUnreachable as error:
                if error.text != self._fault:
                    log.error("%s; what is known goes on being served", error.text)
                self._fault = error.text
                self._looks.failed()
                return
            self._looks.saw(self._previous if self._has_looked else current, current)
            self._served = settle(self._served, self._previous, current) if self._has_looked else current
            self._previous, self._has_looked, self._fault = current, True, ""
            self._known_gpus = self._gpus()
            self._lifecycle.reconcile(self._offered(self._served))

    def _is_needed(self) -> bool:
        """Whether there is something to reconcile although no local model may have changed."""
        return self._sources.is_due or self._lifecycle.is_doubting or self._gpus() != self._known_gpus

    async def look_at(self, name: str, override: Override | None) -> ModelEntry:
        """What there is of one model now, with `override`.

        Raises InvalidInput where it is nowhere, ModelUnavailable where that cannot be told.
        """
        if not self._has_looked:
            raise Overloaded("the repository has not been read yet", retry_after_s=1.0)
        async with self._turn:
            try:
                found = await asyncio.to_thread(self._sources.look_for, name, self._previous, override)
            except RepositoryUnreachable as error:
                raise ModelUnavailable(f"{_not_polled(name)}: {error.text}", retry_after_s=5.0) from None
        if found is None:
            raise InvalidInput(_not_polled(name))
        return found

    def known(self, name: str) -> ModelEntry | None:
        """What is known of one model without a look."""
        return self._previous.entries.get(name)

    def offered(self, entry: ModelEntry) -> offers.Catalogue:
        """What an entry gives to load; raises InvalidInput where that is nothing."""
        catalogue = self.catalogue(entry)
        if reason := catalogue.broken.get(entry.name):
            raise InvalidInput(f"load failed for model '{entry.name}': {reason}")
        return catalogue

    def catalogue(self, entry: ModelEntry) -> offers.Catalogue:
        """What an entry gives to load, or why nothing."""
        return self._offered(Catalogue({entry.name: entry}))

    def adopt(self, name: str, entry: ModelEntry | None, override: Override | None) -> None:
        """From now on this is what is known of the model: no second look has to agree."""
        self._looks.adopted(name)
        self._served = _with(self._served, name, entry)
        self._previous = _with(self._previous, name, entry)
        if override is None:
            self.overrides.pop(name, None)
        else:
            self.overrides[name] = override

    def _offered(self, found: Catalogue) -> offers.Catalogue:
        settings = self._settings
        return offers.catalogue_of(
            found,
            self._runtimes,
            settings.default_max_batch_size,
            settings.environments,
            self._gpus(),
            self._fronts,
        )


def _not_polled(name: str) -> str:
    return f"failed to load '{name}', failed to poll from model repository"


def _with(known: Catalogue, name: str, entry: ModelEntry | None) -> Catalogue:
    others = {other: kept for other, kept in known.entries.items() if other != name}
    return Catalogue(others if entry is None else {**others, name: entry}, known.ignored)
