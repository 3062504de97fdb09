"""One worker process as the controller holds it: spoken to, watched, and seen to its end.

DESIGN: a worker's end has four witnesses, and any may come first or not at all: its control socket
closes, its pidfd becomes readable, the zygote reaps it and says so, or, when its zygote is dead, we
are its parent by PR_SET_CHILD_SUBREAPER and reap it ourselves. `WorkerHandle` takes them in any
order and tells its owner once. A pidfd, unlike a pid, can never come to name somebody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core.clock import Clock
from gateway.core.model import ModelKey
from gateway.runtimes.contract import UpstreamCounts
from gateway.workers.forkserver import Channel, OpenChannel
from gateway.workers.messages import (
    Asleep,
    Beat,
    FromWorker,
    Load,
    Loaded,
    LoadFailed,
    Progress,
    Stop,
    Told,
    ToWorker,
)
from gateway.workers.processes import describe, try_reap
from gateway.workers.settings import WorkerSettings

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


OnMessage = Callable[[Told], None]
OnExit = Callable[[Exit], None]


class Keeper(Protocol):
    """Whoever made the handle, as the handle sees it."""

    @property
    def settings(self) -> WorkerSettings: ...

    @property
    def clock(self) -> Clock: ...

    def forget(self, handle: WorkerHandle, /) -> None:
        """It has ended."""

    def beat(self, handle: WorkerHandle, busy_s: float, /) -> None:
        """It is alive, and so old is the batch in hand."""

    def counted(self, worker_id: int, model: ModelKey, counts: UpstreamCounts, /) -> None:
        """What its model has counted of another server."""


class WorkerHandle:
    """One worker, from before its fork until it is reaped; `on_exit` is called exactly once."""

    def __init__(self, worker_id: int, keeper: Keeper, on_message: OnMessage, on_exit: OnExit) -> None:
        self.id = worker_id
        self.pid: int | None = None
        self.executed = 0
        self._model: ModelKey | None = None
        self._keeper = keeper
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

    def watch(self) -> None:
        """It beats from now on: silence ends it."""
        if self.last_beat is None and not self.is_ending:
            self.last_beat = self._keeper.clock()

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None:
        """Sends at once or as soon as the worker exists; takes `fds` over."""
        if isinstance(message, Load):
            self._model = message.spec.key
        if self._channel:
            self._channel.send(message, fds)
            return
        for fd in fds:
            os.close(fd)

    def hand_over(self, on_message: OnMessage, on_exit: OnExit) -> None:
        """It has another owner from now on."""
        self._on_message, self._on_exit = on_message, on_exit

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
        self._after(self._keeper.settings.term_grace_s, self.kill)

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
        self._keeper.forget(self)
        self._on_exit(Exit(code, self._reason or reason, is_blameless))

    # ---- what it says and how it ends --------------------------------------------------------------

    def _received(self, message: FromWorker, fds: tuple[int, ...]) -> None:
        for fd in fds:  # a worker has none to give
            os.close(fd)
        match message:
            case Beat(busy_s, executed, upstream):
                self.executed = executed
                if upstream is not None and self._model is not None:
                    self._keeper.counted(self.id, self._model, upstream)
                self._keeper.beat(self, busy_s)
            case Loaded():
                self.last_beat = None if self.is_ending else self._keeper.clock()
                self._on_message(message)
            case LoadFailed() | Progress() | Asleep():
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
