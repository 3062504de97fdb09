"""Tickets in the order of their last use, brought up to date only as far as somebody looks.

Uses are not told here, for there may be thousands between two looks: whoever looks asks of one after the
other, and one that was used since goes back to where it belongs. With 500 instances on a device, asking
all of them and sorting took half of the controller's time at each load that had to make room.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush

# Dead entries are cleared away when they are so many times the living.
_DEAD_SHARE = 2


class Recency:
    """Invariant: each ticket has an entry in the heap at the time in `_at`; those at other times are dead."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def add(self, ticket: int, at: float) -> None:
        """It was used at that time, as far as is known; once more replaces what was known."""
        self._at[ticket] = at
        heappush(self._heap, (at, ticket))
        if len(self._heap) > 8 + _DEAD_SHARE * len(self._at):
            self._heap = [(at, ticket) for ticket, at in self._at.items()]
            heapify(self._heap)

    def discard(self, ticket: int) -> None:
        """It is of no interest any more; harmless when repeated."""
        self._at.pop(ticket, None)

    def oldest_first(self, used_at: Callable[[int], float]) -> Generator[int]:
        """All of them, the least recently used first; nothing may be added or discarded before it is closed.

        `used_at` tells when one was really used last, never earlier than was told before.
        """
        seen: list[tuple[float, int]] = []
        try:
            while self._heap:
                at, ticket = heappop(self._heap)
                if self._at.get(ticket) != at or (seen and seen[-1] == (at, ticket)):
                    continue  # dead, or told of twice with the same time (equals leave in a row)
                if (really_at := used_at(ticket)) > at:
                    self._at[ticket] = really_at
                    heappush(self._heap, (really_at, ticket))
                    continue
                seen.append((at, ticket))
                yield ticket
        finally:
            for entry in seen:
                heappush(self._heap, entry)
