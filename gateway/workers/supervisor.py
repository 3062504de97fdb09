"""Workers as the controller holds them: made by the zygote, spoken to, watched, and seen to their end.

DESIGN: a worker's end has four witnesses, and any may come first or not at all: its control socket
closes, its pidfd becomes readable, the zygote reaps it and says so, or, when its zygote is dead, we
are its parent by PR_SET_CHILD_SUBREAPER and reap it ourselves. `WorkerHandle` takes them in any
order and tells its owner once. A pidfd, unlike a pid, can never come to name somebody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from itertools import count
from random import Random

import msgspec

from gateway.core.clock import Clock
from gateway.core.device import Seat
from gateway.core.model import ModelKey
from gateway.workers.forkserver import Channel, ForkServer, OpenChannel
from gateway.workers.messages import (
    Beat,
    FromWorker,
    Load,
    Loaded,
    LoadFailed,
    Progress,
    Stop,
    ToWorker,
)
from gateway.workers.parentage import adopt_orphans
from gateway.workers.processes import describe, try_reap
from gateway.workers.settings import WorkerSettings
from gateway.workers.upstreams import Upstreams

log = logging.getLogger("gateway.workers")

ANYWHERE = Seat()
# Seconds between looks at heartbeats and at a silent zygote.
TICK_S = 1.0
# Time for the zygote's word on how a worker ended, once its end itself is known.
STATUS_WAIT_S = 0.25


class Exit(msgspec.Struct, frozen=True):
    """How a worker ended: `code` as from waitpid (minus the signal's number), None where nobody could tell.

    `reason` says what was wrong with it before it was killed by us, if it was; `is_blameless` is true
    where the model cannot have been the cause (no process could be made, or the zygote died).
    """

    code: int | None
    reason: str = ""
    is_blameless: bool = False

    def __str__(self) -> str:
        return f"{self.reason} ({describe(self.code)})" if self.reason else describe(self.code)


class SupervisorStatistics(msgspec.Struct, frozen=True):
    """What the supervisor has seen since it started."""

    workers: int
    forked: int
    exited: int
    hung: int
    zygote_starts: int


OnMessage = Callable[[Loaded | LoadFailed | Progress], None]
OnExit = Callable[[Exit], None]


class WorkerHandle:
    """One worker, from before its fork until it is reaped; `on_exit` is called exactly once."""

    def __init__(
        self, worker_id: int, supervisor: Supervisor, on_message: OnMessage, on_exit: OnExit
    ) -> None:
        self.id = worker_id
        self.pid: int | None = None
        self.executed = 0
        self._model: ModelKey | None = None
        self._supervisor = supervisor
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_exit = on_exit
        self._channel: Channel | None = None
        self._pidfd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self._pending_signal: signal.Signals | None = None
        # None until it has loaded: before that the owner's load timeout is what watches it.
        self.last_beat: float | None = None
        self.is_ending = False
        self.is_ended = False

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None:
        """Sends at once or as soon as the worker exists; takes `fds` over."""
        if isinstance(message, Load):
            self._model = message.spec.key
        if self._channel:
            self._channel.send(message, fds)
            return
        for fd in fds:
            os.close(fd)

    def stop(self, grace_s: float) -> None:
        """Asks it to finish the batch in hand and exit; after `grace_s` SIGTERM, then SIGKILL."""
        if self.is_ending or self.is_ended:
            return
        self.is_ending = True
        self.last_beat = None
        self.send(Stop())
        self._after(grace_s, self.terminate)

    def terminate(self, reason: str = "") -> None:
        """SIGTERM, and SIGKILL if that has not ended it within the grace time."""
        self._reason = self._reason or reason
        self.is_ending = True
        self.last_beat = None
        self._signal(signal.SIGTERM)
        self._after(self._supervisor.settings.term_grace_s, self.kill)

    def kill(self, reason: str = "") -> None:
        """SIGKILL at once."""
        self._reason = self._reason or reason
        self.is_ending = True
        self.last_beat = None
        self._signal(signal.SIGKILL)

    # ---- called by the supervisor ------------------------------------------------------------------

    def open(self, sock: socket.socket, open_channel: OpenChannel) -> None:
        """Takes our end of its control socket."""
        self._channel = open_channel(sock, FromWorker, self._received, self._channel_closed)

    def forked(self, pid: int, pidfd: int) -> None:
        """The process exists now; what was to be done to it meanwhile is done."""
        self.pid, self._pidfd = pid, pidfd
        self._loop.add_reader(pidfd, self._pidfd_readable)
        if self._pending_signal:
            self._signal(self._pending_signal)

    def reap_orphan(self) -> None:
        """Its zygote is dead: nobody but us can tell how it ended."""
        if self._pidfd < 0 and self.pid is not None and not self.is_ended:
            self.ended(try_reap(self.pid))

    def ended(self, code: int | None, *, reason: str = "", is_blameless: bool = False) -> None:
        """Its end is certain; tells the owner, once."""
        if self.is_ended:
            return
        self.is_ended = True
        self._cancel_timer()
        self._release_pidfd()
        if self._channel:
            self._channel.close()
            self._channel = None
        self._supervisor.forget(self)
        self._on_exit(Exit(code, self._reason or reason, is_blameless))

    # ---- what it says and how it ends --------------------------------------------------------------

    def _received(self, message: FromWorker, fds: tuple[int, ...]) -> None:
        for fd in fds:  # a worker has none to give
            os.close(fd)
        match message:
            case Beat(busy_s, executed, upstream):
                self.executed = executed
                if upstream is not None and self._model is not None:
                    self._supervisor.upstreams.take(self.id, self._model, upstream)
                self._supervisor.beat(self, busy_s)
            case Loaded():
                self.last_beat = None if self.is_ending else self._supervisor.clock()
                self._on_message(message)
            case LoadFailed() | Progress():
                self._on_message(message)

    def _channel_closed(self, reason: str) -> None:
        """A worker without its control socket serves nobody: it has ended, or must."""
        self._channel = None
        if self.is_ended:
            return
        if self.pid is not None and (code := try_reap(self.pid)) is not None:
            self.ended(code)
            return
        # A worker that exits closes its socket a moment before it is a zombie.
        self._after(STATUS_WAIT_S, lambda: self.kill(reason or "it closed its control socket"))

    def _pidfd_readable(self) -> None:
        self._release_pidfd()
        assert self.pid is not None
        code = try_reap(self.pid)
        if code is not None:
            self.ended(code)
        else:
            self._after(STATUS_WAIT_S, lambda: self.ended(None))

    def _release_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _signal(self, signum: signal.Signals) -> None:
        if self.pid is None:
            self._pending_signal = signum
        elif self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signum)

    def _after(self, delay_s: float, step: Callable[[], None]) -> None:
        self._cancel_timer()
        if not self.is_ended:
            self._timer = self._loop.call_later(delay_s, step)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


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
        self._forkserver = ForkServer(settings, open_channel, self, clock, rng, entry)
        self._tick_timer: asyncio.TimerHandle | None = None
        self._last_tick = 0.0
        self._forked = self._exited = self._hung = 0

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process id while there is one."""
        return self._forkserver.pid

    @property
    def zygote(self) -> ForkServer:
        """What is known of the zygote."""
        return self._forkserver

    def pids(self) -> tuple[int, ...]:
        """The processes whose end is seen to here."""
        return (*self._by_pid, *([self.zygote_pid] if self.zygote_pid else []))

    def start(self) -> None:
        """Becomes the parent of orphans and starts the zygote; call from the main thread."""
        adopt_orphans()
        self._forkserver.start()
        self._last_tick = self.clock()
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def spawn(self, on_message: OnMessage, on_exit: OnExit, seat: Seat = ANYWHERE) -> WorkerHandle:
        """Orders a worker for `seat`; never blocks. Messages may be sent to it at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        handle = WorkerHandle(next(self._ids), self, on_message, on_exit)
        self._workers[handle.id] = handle
        self._empty.clear()
        handle.open(ours, self._open_channel)
        self._forkserver.fork(handle.id, theirs, seat.device)
        return handle

    async def close(self, grace_s: float) -> None:
        """Stops every worker; returns when all have ended, by force if `grace_s` was not enough."""
        for handle in tuple(self._workers.values()):
            handle.stop(grace_s)
        await self._wait_until_empty(grace_s + self.settings.term_grace_s + 2.0)

    def abandon(self) -> None:
        """Ends everything now: workers and zygote are killed; nothing is started any more."""
        if self._tick_timer:
            self._tick_timer.cancel()
        self._forkserver.close()
        for handle in tuple(self._workers.values()):
            handle.kill()

    async def wait_until_gone(self, timeout_s: float) -> None:
        """After `abandon`: waits for the ends of all processes; what is left then is killed, not awaited."""
        await self._wait_until_empty(timeout_s)
        await self._forkserver.wait_until_ended(timeout_s)

    def statistics(self) -> SupervisorStatistics:
        """What has happened so far."""
        return SupervisorStatistics(
            len(self._workers), self._forked, self._exited, self._hung, self._forkserver.starts
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
        del self._workers[handle.id]
        if handle.pid is not None:
            self._by_pid.pop(handle.pid, None)
        if not self._workers:
            self._empty.set()

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
        self._forkserver.check_hung(now)
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
