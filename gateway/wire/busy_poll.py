"""Looking for work instead of sleeping, for a short time after there was some.

DESIGN: to wake a core that sleeps takes 50 to 90 us on a virtual machine, as long as all the work of a
small request. A front that asks the kernel again and again for `busy_poll_us` after its last request
answers the next one without that; it pays with a core that is busy all the time while requests come.
So it is off unless asked for, and of use where a front has a core of its own: models that run inside it
(`gateway.isolation` "inline"), at the edge. Rejected: SO_BUSY_POLL, which loopback and most virtual
network cards ignore.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.core.clock import Clock


class _Loop(Protocol):
    def call_soon(self, callback: Callable[[], object]) -> object: ...


class BusyPoll:
    """Keeps `loop` awake for `spin_s` after each change of `activity()`, a count of requests."""

    def __init__(self, loop: _Loop, clock: Clock, spin_s: float, activity: Callable[[], int]) -> None:
        self._loop = loop
        self._clock = clock
        self._spin_s = spin_s
        self._activity = activity
        self._seen = activity()
        self._until = 0.0
        self.is_spinning = False

    def look(self) -> None:
        """Must be called now and then: begins to spin where there was a request since the last look."""
        if not self.is_spinning and self._activity() != self._seen:
            self.is_spinning = True
            self._spin()

    def _spin(self) -> None:
        """One more turn of the loop without sleep, as long as requests keep coming."""
        seen, now = self._activity(), self._clock()
        if seen != self._seen:
            self._seen = seen
            self._until = now + self._spin_s
        if now < self._until:
            self._loop.call_soon(self._spin)
        else:
            self.is_spinning = False
