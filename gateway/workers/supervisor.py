"""Makes worker processes through the zygote, and watches them; each is held by a WorkerHandle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from functools import partial
from itertools import count
from random import Random

import msgspec

from gateway.core.clock import Clock
from gateway.core.device import Seat
from gateway.core.model import ModelKey
from gateway.runtimes.contract import UpstreamCounts
from gateway.workers.bases import Bases
from gateway.workers.forkserver import ForkServer, OpenChannel
from gateway.workers.handle import OnExit, OnMessage, WorkerHandle
from gateway.workers.parentage import adopt_orphans
from gateway.workers.settings import WorkerSettings
from gateway.workers.upstreams import Upstreams

log = logging.getLogger("gateway.workers")

ANYWHERE = Seat()
# Seconds between looks at heartbeats and at a silent zygote.
TICK_S = 1.0


class SupervisorStatistics(msgspec.Struct, frozen=True):
    """What the supervisor has seen since it started."""

    workers: int
    forked: int
    exited: int
    hung: int
    zygote_starts: int


class Supervisor:
    """Makes workers and watches them; use `start`, and `close` at the end."""

    def __init__(
        self,
        settings: WorkerSettings,
        open_channel: OpenChannel,
        clock: Clock,
        rng: Random,
        entry: str = "gateway.workers.child:main",
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.upstreams = Upstreams()
        self._open_channel = open_channel
        self._loop = asyncio.get_running_loop()
        self._ids = count(1)
        # Invariant: exactly the handles whose on_exit was not called yet.
        self._workers: dict[int, WorkerHandle] = {}
        self._by_pid: dict[int, WorkerHandle] = {}
        self._empty = asyncio.Event()
        make = partial(ForkServer, settings, open_channel, self, clock, rng, entry)
        self._bases = Bases(make, settings.zygotes, clock)
        self._based: dict[int, str] = {}  # what workers come from that do not come from the common zygote
        self._tick_timer: asyncio.TimerHandle | None = None
        self._last_tick = 0.0
        self._forked = self._exited = self._hung = 0

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process id while there is one."""
        return self._bases.common.pid

    @property
    def zygote(self) -> ForkServer:
        """What is known of the zygote."""
        return self._bases.common

    def pids(self) -> tuple[int, ...]:
        """The processes whose end is seen to here."""
        return (*self._by_pid, *(one.pid for one in self._bases.all if one.pid is not None))

    def start(self) -> None:
        """Becomes the parent of orphans and starts the zygote; call from the main thread."""
        adopt_orphans()
        self._bases.start()
        self._last_tick = self.clock()
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def spawn(self, on_message: OnMessage, on_exit: OnExit, seat: Seat = ANYWHERE) -> WorkerHandle:
        """Orders a worker for `seat`; never blocks. Messages may be sent to it at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        handle = WorkerHandle(next(self._ids), self, on_message, on_exit)
        self._workers[handle.id] = handle
        self._empty.clear()
        handle.open(ours, self._open_channel)
        server, base = self._bases.of(seat.environment)
        if base:
            self._based[handle.id] = base
        server.fork(handle.id, theirs, seat.device)
        return handle

    def new_id(self) -> int:
        """One that no worker has, for what is no process."""
        return next(self._ids)

    async def close(self, grace_s: float) -> None:
        """Stops every worker; returns when all have ended, by force if `grace_s` was not enough."""
        for handle in tuple(self._workers.values()):
            handle.stop(grace_s)
        await self._wait_until_empty(grace_s + self.settings.term_grace_s + 2.0)

    def abandon(self) -> None:
        """Ends everything now: workers and zygote are killed; nothing is started any more."""
        if self._tick_timer:
            self._tick_timer.cancel()
        self._bases.close()
        for handle in tuple(self._workers.values()):
            handle.kill()

    async def wait_until_gone(self, timeout_s: float) -> None:
        """After `abandon`: waits for the ends of all processes; what is left then is killed, not awaited."""
        await self._wait_until_empty(timeout_s)
        for server in self._bases.all:
            await server.wait_until_ended(timeout_s)

    def statistics(self) -> SupervisorStatistics:
        """What has happened so far."""
        return SupervisorStatistics(
            len(self._workers), self._forked, self._exited, self._hung, self._bases.common.starts
        )

    def check(self) -> None:
        """Asserts the invariants."""
        assert not any(handle.is_ended for handle in self._workers.values())
        assert set(self._by_pid) == {h.pid for h in self._workers.values() if h.pid is not None}

    # ---- from the handles ---------------------------------------------------------------------------

    def forget(self, handle: WorkerHandle) -> None:
        """The handle has ended."""
        self._exited += 1
        self.upstreams.forget(handle.id)
        self._bases.ended(self._based.pop(handle.id, ""))
        del self._workers[handle.id]
        if handle.pid is not None:
            self._by_pid.pop(handle.pid, None)
        if not self._workers:
            self._empty.set()

    def counted(self, worker_id: int, model: ModelKey, counts: UpstreamCounts) -> None:
        """See handle.Keeper."""
        self.upstreams.take(worker_id, model, counts)

    def beat(self, handle: WorkerHandle, busy_s: float) -> None:
        """A sign of life; a batch that runs for too long ends its worker all the same."""
        if handle.is_ending:
            return
        if handle.last_beat is not None:
            handle.last_beat = self.clock()
        if busy_s > self.settings.hung_after_s:
            self._end_hung(handle, f"a batch ran for more than {self.settings.hung_after_s:g} s")

    # ---- from the zygote ----------------------------------------------------------------------------

    def on_forked(self, ticket: int, pid: int, pidfd: int) -> None:
        """The worker of `ticket` exists."""
        self._forked += 1
        handle = self._workers.get(ticket)
        if handle is None:  # given up meanwhile: its socket is closed, which ends it
            os.close(pidfd)
            return
        self._by_pid[pid] = handle
        handle.forked(pid, pidfd)

    def on_fork_failed(self, ticket: int, reason: str) -> None:
        """There is no worker for `ticket`."""
        if handle := self._workers.get(ticket):
            handle.ended(None, reason=reason, is_blameless=True)

    def on_exited(self, pid: int, code: int) -> None:
        """The zygote reaped a worker."""
        if handle := self._by_pid.get(pid):
            handle.ended(code)

    def on_zygote_died(self) -> None:
        """Its workers are ours now; those that ended unreaped can be reaped here."""
        for handle in tuple(self._workers.values()):
            handle.reap_orphan()

    # ---- watching -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.clock()
        # After a pause of this whole process (SIGSTOP, a suspended machine) all beats look late.
        if now - self._last_tick > 2 * TICK_S:
            self._excuse_silence(now)
        self._last_tick = now
        self._end_silent(now)
        self._bases.look(now)
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def _excuse_silence(self, now: float) -> None:
        for handle in self._workers.values():
            if handle.last_beat is not None:
                handle.last_beat = now

    def _end_silent(self, now: float) -> None:
        limit_s = self.settings.heartbeat_timeout_s
        for handle in tuple(self._workers.values()):
            if handle.last_beat is not None and now - handle.last_beat > limit_s:
                self._end_hung(handle, f"no sign of life for {limit_s:g} s")

    def _end_hung(self, handle: WorkerHandle, reason: str) -> None:
        self._hung += 1
        extra = {"event": "worker_hung", "worker_pid": handle.pid, "reason": reason}
        log.warning("worker %d (pid %s): %s: ended", handle.id, handle.pid, reason, extra=extra)
        handle.terminate(reason)

    async def _wait_until_empty(self, timeout_s: float) -> None:
        if self._workers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), timeout_s)
