"""Which models the next look at the repository must be at: all, or those of which something is known.

10,000 models cost a quarter of a processor if each look is at all of them, every two seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Protocol

from gateway.core.clock import Clock
from gateway.repository.catalogue import Catalogue


class Changes(Protocol):
    """Tells which local models may have changed since it was asked last; None: any of them may have."""

    def take(self) -> frozenset[str] | None: ...


class Looks:
    """Without `changes` every look is at everything; with them it is so once in `rescan_s`."""

    def __init__(self, changes: Changes | None, rescan_s: float, clock: Clock) -> None:
        self._changes = changes
        self._rescan_s = rescan_s
        self._clock = clock
        self._whole_at = -inf
        self._unsettled: frozenset[str] = frozenset()  # what the last two looks do not agree on
        self._adopted: set[str] = set()

    def next(self, always: Iterable[str]) -> frozenset[str] | None:
        """Models to look at, `always` among them; None for all, whatever there is."""
        told = self._changes.take() if self._changes is not None else None
        now, adopted = self._clock(), frozenset(self._adopted)
        self._adopted.clear()
        if told is None or now - self._whole_at >= self._rescan_s:
            self._whole_at = now
            return None
        return told | self._unsettled | adopted | frozenset(always)

    def adopted(self, name: str) -> None:
        """Of this one something else is believed than what the last look has found."""
        self._adopted.add(name)

    def saw(self, previous: Catalogue, current: Catalogue) -> None:
        """A look has found `current`, and the one before it `previous`."""
        before, after = previous.entries, current.entries
        names = before.keys() | after.keys()
        self._unsettled = frozenset(name for name in names if before.get(name) != after.get(name))

    def failed(self) -> None:
        """A look has found nothing out."""
        self._whole_at = -inf
