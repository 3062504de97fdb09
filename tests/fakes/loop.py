"""A clock and an event loop that move only when told to."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count


class FakeClock:
    """Seconds since the start of the test."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeTimer:
    """A call that was put off; cancelled ones are skipped."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """call_soon and call_later over a FakeClock; `turn` runs one turn, `run_until` moves time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._soon: deque[Callable[[], object]] = deque()
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = count()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self._clock.now + delay, next(self._order), timer))
        return timer

    def turn(self) -> None:
        """Runs what is due now, and what that makes due."""
        while self._soon or (self._timers and self._timers[0][0] <= self._clock.now):
            while self._soon:
                self._soon.popleft()()
            while self._timers and self._timers[0][0] <= self._clock.now:
                timer = heapq.heappop(self._timers)[2]
                if not timer.is_cancelled:
                    timer.callback()

    def run_until(self, when: float) -> None:
        """Moves the clock to `when`, stopping at each timer on the way."""
        self.turn()
        while self._timers and self._timers[0][0] <= when:
            self._clock.now = max(self._clock.now, self._timers[0][0])
            self.turn()
        self._clock.now = when
        self.turn()


class FakeReaders:
    """The reader and writer registrations of an event loop; `run` calls every reader once."""

    def __init__(self) -> None:
        self.callbacks: dict[int, Callable[[], object]] = {}
        self.writers: dict[int, Callable[[], object]] = {}

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> None:
        self.callbacks[fd] = callback

    def remove_reader(self, fd: int, /) -> None:
        del self.callbacks[fd]

    def add_writer(self, fd: int, callback: Callable[[], object], /) -> None:
        self.writers[fd] = callback

    def remove_writer(self, fd: int, /) -> None:
        del self.writers[fd]

    def run(self) -> None:
        for callback in list(self.callbacks.values()):
            callback()
