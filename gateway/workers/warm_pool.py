"""Workers that wait for a model: forked and prepared before anybody needs them, handed out at once.

A fork and what an engine does once in a process are half of a small model's cold start. So of each kind of
seat some workers wait, and whoever asks for one gets the oldest. What was handed out is replaced a moment
later, when that load is over: two forks side by side would make both slow; but not later than that, however
many loads follow. A waiting worker that ends says nothing of any model; those that end one after the other
are replaced more and more slowly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from gateway.core.device import CPU, Seat
from gateway.workers.handle import Exit, OnExit, OnMessage, WorkerHandle
from gateway.workers.messages import Prepare
from gateway.workers.restart import RestartPolicy, backoff

log = logging.getLogger("gateway.workers")

# A load by a waiting worker takes some 5 ms.
QUIET_S = 0.03


class Spawns(Protocol):
    """What makes workers."""

    def spawn(self, on_message: OnMessage, on_exit: OnExit, seat: Seat) -> WorkerHandle: ...


class Timers(Protocol):
    """Makes things happen later."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle: ...


class _Spare:
    """A worker that waits, and afterwards whoever has it: its events go on to them."""

    def __init__(self, seat: Seat, on_lost: Callable[[_Spare, Exit], None]) -> None:
        self.seat = seat
        self.handle: WorkerHandle | None = None
        self.on_message: OnMessage | None = None
        self.on_exit: OnExit | None = None
        self._on_lost = on_lost

    def message(self, message: object) -> None:
        if self.on_message is not None:
            self.on_message(message)  # type: ignore[arg-type]

    def exited(self, end: Exit) -> None:
        if self.on_exit is not None:
            self.on_exit(end)
        else:
            self._on_lost(self, end)


class WarmPool:
    """Hands out workers like the supervisor that makes them; `keep` says how many of which kind wait.

    Invariant: never more spares of a seat than are to be kept, and none is handed out twice.
    """

    def __init__(
        self,
        supervisor: Spawns,
        runtimes: tuple[str, ...],
        policy: RestartPolicy,
        timers: Timers,
        rng: Random,
    ) -> None:
        self._supervisor = supervisor
        self._runtimes = runtimes
        self._policy = policy
        self._timers = timers
        self._rng = rng
        self._kept: Mapping[Seat, int] = {}
        self._spares: dict[Seat, list[_Spare]] = {}
        self._deaths: dict[Seat, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Workers that wait for a model."""
        return sum(map(len, self._spares.values()))

    def keep(self, kept: Mapping[Seat, int]) -> None:
        """So many of each seat are to wait from now on; those of other seats are ended."""
        if kept == self._kept:
            return
        self._kept = dict(kept)
        for seat, spares in self._spares.items():
            while len(spares) > self._kept.get(seat, 0):
                handle = spares.pop().handle
                assert handle is not None
                handle.stop(0.0)
        self._refill_in(0.0)

    def spawn(self, on_message: OnMessage, on_exit: OnExit, seat: Seat) -> WorkerHandle:
        """A worker for `seat`, which may have waited; as Supervisor.spawn."""
        if self._timer is None:
            self._refill_in(QUIET_S)
        spares = self._spares.get(seat, [])
        while spares:
            spare = spares.pop(0)
            assert spare.handle is not None
            if not spare.handle.is_ending and not spare.handle.is_ended:
                self._deaths.pop(seat, None)
                spare.on_message, spare.on_exit = on_message, on_exit
                return spare.handle
        return self._supervisor.spawn(on_message, on_exit, seat)

    def close(self) -> None:
        """The gateway ends: nothing is made any more. Whoever stops all workers stops these too."""
        self._is_closed = True
        if self._timer:
            self._timer.cancel()

    def check(self) -> None:
        """Asserts the invariant."""
        for seat, spares in self._spares.items():
            assert len(spares) <= self._kept.get(seat, 0)
            assert all(one.on_exit is None for one in spares)

    def _refill_in(self, delay_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        if not self._is_closed:
            self._timer = self._timers.call_later(delay_s, self._refill)

    def _refill(self) -> None:
        """Makes one worker, and comes back for the next: no more than one is forked at a time."""
        self._timer = None
        for seat, count in self._kept.items():
            spares = self._spares.setdefault(seat, [])
            if len(spares) < count:
                spares.append(self._make(seat))
                self._refill_in(QUIET_S)
                return

    def _make(self, seat: Seat) -> _Spare:
        spare = _Spare(seat, self._on_lost)
        spare.handle = self._supervisor.spawn(spare.message, spare.exited, seat)
        spare.handle.send(Prepare(self._runtimes, is_on_gpu=seat.device not in {"", CPU}))
        return spare

    def _on_lost(self, spare: _Spare, end: Exit) -> None:
        spares = self._spares.get(spare.seat, [])
        if self._is_closed or spare not in spares:
            return  # it was to end
        spares.remove(spare)
        deaths = self._deaths[spare.seat] = self._deaths.get(spare.seat, 0) + 1
        wait_s = max(QUIET_S, backoff(deaths, self._policy, self._rng.random()))
        where = spare.seat.device or "any device"
        log.warning("a waiting worker for %s ended (%s); next in %.1f s", where, end, wait_s)
        self._refill_in(wait_s)
