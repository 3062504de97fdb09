"""How many rows come in a second, as of late: pure but for the three numbers it keeps."""

from __future__ import annotations

from math import exp

# Long enough for the chance of some hundred rows to even out, short enough to follow a burst.
_MEMORY_S = 1.0
# Before that a rate is a guess from a few rows, and is taken for a lower one.
_FIRST_S = 0.1


class ArrivalRate:
    """Rows seen, each forgotten by 63 % a second, over how much of such a second there has been so far."""

    __slots__ = ("_at", "_began", "_sum")

    def __init__(self) -> None:
        self._sum = 0.0
        self._at = 0.0
        self._began = -1.0

    def came(self, rows: int, now: float) -> None:
        """Must be called with `now` ascending."""
        if self._began < 0:
            self._began = now
        self._sum = self._sum * exp((self._at - now) / _MEMORY_S) + rows
        self._at = now

    def per_s(self, now: float) -> float:
        """The rate at `now`; it starts at 0, and falls while nobody comes."""
        seen = 1 - exp(-max(now - self._began, _FIRST_S) / _MEMORY_S)
        return self._sum * exp((self._at - now) / _MEMORY_S) / (_MEMORY_S * seen)
