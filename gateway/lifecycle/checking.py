"""Versions are looked at before they are loaded: files are here once somebody has vouched for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway.lifecycle.means import Fetching
from gateway.lifecycle.offers import Offer

log = logging.getLogger("gateway.lifecycle")

# Versions that were found good, by the fingerprints of their files: a model that comes and goes is read once.
MAX_KNOWN = 100_000

Done = Callable[[str, str], None]
Fault = Callable[[Path], str]
# Has a step done elsewhere, and calls back with what it returned.
Aside = Callable[[Callable[[], str], Callable[[str], None]], None]


class Looker(Protocol):
    """Brings files here, and says whether they may be loaded."""

    def bring(self, offer: Offer, then: Done) -> Callable[[], None]:
        """Has the files here; what stops that."""

    def check(self, offer: Offer, path: str, then: Callable[[str], None]) -> None:
        """Calls back with why these files must not be loaded, "" where they may be."""

    def release(self, path: str) -> None:
        """Nobody reads them any more."""


class Checking:
    """Implements means.Fetching around another; `fault` blocks, and is called by `aside` alone."""

    def __init__(self, inner: Fetching, fault: Fault, aside: Aside, *, is_required: bool) -> None:
        self._inner = inner
        self._fault = fault
        self._aside = aside
        self._is_required = is_required
        self._good: dict[str, None] = {}
        self._fetched: set[str] = set()

    def takes_time(self, offer: Offer) -> bool:
        """See means.Fetching."""
        return offer.fingerprint not in self._good or self._inner.takes_time(offer)

    def fetch(self, offer: Offer, on_done: Done) -> Callable[[], None]:
        """See means.Fetching."""
        return Check(self, offer, on_done).begin()

    def release(self, path: str) -> None:
        """See means.Fetching."""
        if path in self._fetched:
            self._inner.release(path)

    def bring(self, offer: Offer, then: Done) -> Callable[[], None]:
        """Has the files here; what stops that."""
        if self._inner.takes_time(offer):
            return self._inner.fetch(offer, then)
        then(offer.path, "")
        return lambda: None

    def check(self, offer: Offer, path: str, then: Callable[[str], None]) -> None:
        """Calls back with why these files must not be loaded, "" where they may be."""
        if offer.source:
            self._fetched.add(path)
        if offer.fingerprint in self._good:
            then("")
        else:
            self._aside(partial(self._fault, Path(path)), partial(self._judge, offer, then))

    def _judge(self, offer: Offer, then: Callable[[str], None], fault: str) -> None:
        if fault and self._is_required:
            then(f"its signature is not accepted: {fault}")
            return
        if fault:
            log.warning(
                "%s: its signature is not accepted, and it is loaded all the same: %s", offer.key, fault
            )
        self._good[offer.fingerprint] = None
        if len(self._good) > MAX_KNOWN:
            self._good.pop(next(iter(self._good)))
        then("")


class Check:
    """One version on its way; nothing is told once it is stopped."""

    def __init__(self, owner: Looker, offer: Offer, on_done: Done) -> None:
        self._owner = owner
        self._offer = offer
        self._on_done = on_done
        self._path = ""
        self._is_stopped = False

    def begin(self) -> Callable[[], None]:
        stop = self._owner.bring(self._offer, self._on_here)

        def stop_all() -> None:
            self._is_stopped = True
            stop()

        return stop_all

    def _on_here(self, path: str, reason: str) -> None:
        self._path = path
        if reason:
            self._on_done(path, reason)
        else:
            self._owner.check(self._offer, path, self._on_checked)

    def _on_checked(self, reason: str) -> None:
        if reason or self._is_stopped:
            self._owner.release(self._path)
        if not self._is_stopped:
            self._on_done("" if reason else self._path, reason)
