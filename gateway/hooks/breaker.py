"""When a plugin that fails is left alone: pure, with `now` as an argument."""

from __future__ import annotations

from collections import deque

# `reliability.md` G1: five failures within 30 s, and nobody asks it for as long; then one call tries it.
FAILURES = 5
WINDOW_S = 30.0
OPEN_S = 30.0


class Breaker:
    """Closed until it has seen too many failures, then open, then on trial with one call at a time.

    Invariant: `_failed` holds at most FAILURES times, ascending.
    """

    __slots__ = ("_failed", "_open_until", "_trial_until", "is_open")

    def __init__(self) -> None:
        self._failed: deque[float] = deque(maxlen=FAILURES)
        self.is_open = False  # while it is not, nothing needs to be asked of it
        self._open_until = 0.0
        self._trial_until = 0.0

    def permits(self, now: float) -> bool:
        """True where a call may be made; while on trial only the first of those within OPEN_S."""
        if not self.is_open:
            return True
        if now < max(self._open_until, self._trial_until):
            return False
        self._trial_until = now + OPEN_S
        return True

    def failed(self, now: float) -> bool:
        """A call failed; True where that opens it."""
        self._failed.append(now)
        if self.is_open or (len(self._failed) == FAILURES and now - self._failed[0] <= WINDOW_S):
            was_closed, self.is_open = not self.is_open, True
            self._open_until = now + OPEN_S
            self._trial_until = 0.0
            return was_closed
        return False

    def went_well(self) -> None:
        """A call went well: must be told only while it is not closed."""
        self.is_open = False
        self._open_until = self._trial_until = 0.0
        self._failed.clear()
