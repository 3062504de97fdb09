"""How many are in at a time, by key."""

from __future__ import annotations

from collections.abc import Hashable


class Counters:
    """Counts by key. Invariant: a key is there only while somebody is in, so there are no more than those."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, key: Hashable) -> int:
        """How many are in."""
        return self._counts.get(key, 0)

    def enter(self, key: Hashable) -> None:
        """Must be paired with one `leave`."""
        self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, key: Hashable) -> None:
        """One less; a key that nobody is in any more is forgotten."""
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]


class Held:
    """What one request is counted in: a function that gives it back, however often it is called."""

    __slots__ = ("_places",)

    def __init__(self, places: tuple[tuple[Counters, Hashable], ...]) -> None:
        for counters, key in places:
            counters.enter(key)
        self._places = places

    def __call__(self) -> None:
        """Gives back at the first call."""
        places, self._places = self._places, ()
        for counters, key in places:
            counters.leave(key)
