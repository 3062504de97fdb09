"""Synchronisations of fronts shared by all who wait for one: however many ask, one is under way.

Whoever comes while one is under way waits for the next: a front may have passed the one under way
before it did what the asker has seen done.
"""

from __future__ import annotations

from collections.abc import Callable

Then = Callable[[], None]


class Freshness:
    """Invariant: nobody waits while no synchronisation is under way."""

    def __init__(self, synchronise: Callable[[Then], None]) -> None:
        self._synchronise = synchronise
        self._waiting: list[Then] = []
        self._is_under_way = False

    def synchronise(self, then: Then) -> None:
        """Calls back, perhaps at once, when every front has acted upon all it was sent until now."""
        self._waiting.append(then)
        if not self._is_under_way:
            self._begin()

    def _begin(self) -> None:
        served, self._waiting = self._waiting, []
        self._is_under_way = True
        self._synchronise(lambda: self._end(served))

    def _end(self, served: list[Then]) -> None:
        self._is_under_way = False
        if self._waiting:
            self._begin()
        for then in served:
            then()

    def check(self) -> None:
        """Asserts the invariant."""
        assert self._is_under_way or not self._waiting
