"""The controller's side of the zygote: keeps one running, asks it for forks, passes on what it tells."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.core.clock import Clock
from gateway.core.environment import Base
from gateway.workers.forking import Exited, Fork, Forked, ForkFailed, FromZygote, Preload, Prepared
from gateway.workers.processes import Process, describe, launch
from gateway.workers.restart import backoff, policy_of, recent
from gateway.workers.settings import WorkerSettings

log = logging.getLogger("gateway.workers")

ZYGOTE = "gateway.workers.zygote"


class Channel(Protocol):
    """A packet channel to another process."""

    def send(self, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Sends or queues one message; takes `fds` over."""

    def close(self) -> None:
        """Ends the connection; nothing is called any more."""


class OpenChannel(Protocol):
    """Makes a Channel of a socket (that of `gateway.control`, which this package must not know)."""

    def __call__(
        self,
        sock: socket.socket,
        decoder_type: Any,
        on_message: Callable[[Any, tuple[int, ...]], None],
        on_closed: Callable[[str], None],
    ) -> Channel: ...


class ForkEvents(Protocol):
    """What becomes of forks asked for, and of the workers they made."""

    def on_forked(self, ticket: int, pid: int, pidfd: int) -> None:
        """The worker exists; `pidfd` belongs to the callee."""

    def on_fork_failed(self, ticket: int, reason: str) -> None:
        """There will be no worker for this ticket, or one whose control socket is already dead."""

    def on_exited(self, pid: int, code: int) -> None:
        """A worker ended and was reaped."""

    def on_zygote_died(self) -> None:
        """Workers forked so far are now our own children."""


class _Pending(NamedTuple):
    ticket: int
    asked_at: float


class ForkServer:
    """Owns the zygote process: started by `start`, started again whenever it ends, until `close`."""

    def __init__(
        self,
        settings: WorkerSettings,
        open_channel: OpenChannel,
        events: ForkEvents,
        clock: Clock,
        rng: Random,
        entry: str,
        base: Base | None = None,
    ) -> None:
        self._settings = settings
        self._open_channel = open_channel
        self._events = events
        self._clock = clock
        self._rng = rng
        self._entry = entry
        self._base = base
        self._loop = asyncio.get_running_loop()
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._restart: asyncio.TimerHandle | None = None
        # Forks asked of the living zygote, oldest first, and those waiting for the next one.
        self._pending: dict[int, _Pending] = {}
        self._waiting: list[tuple[int, socket.socket, str]] = []
        self._deaths: tuple[float, ...] = ()
        self._prepared_at: float | None = None
        self._started_at = 0.0
        self._closed = False
        self._ended = asyncio.Event()
        self.starts = 0
        self.missing: tuple[tuple[str, str], ...] = ()
        self.import_s = 0.0

    @property
    def pid(self) -> int | None:
        """The zygote's process id while there is one."""
        return self._process.pid if self._process else None

    @property
    def is_prepared(self) -> bool:
        """True once the zygote has imported everything and takes forks at once."""
        return self._prepared_at is not None

    @property
    def deaths(self) -> int:
        """How often it had died within the crash window, at its last death."""
        return len(self._deaths)

    def start(self) -> None:
        """Starts the zygote; must be called from the thread that lives as long as the controller."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = self._open_channel(ours, FromZygote, self._on_message, self._on_channel_closed)
        self._process = launch(ZYGOTE, theirs, self._on_process_exit)
        self._started_at = self._clock()
        self._prepared_at = None
        self._restart = None
        self.starts += 1
        self._channel.send(Preload(self._settings.preload, self._entry, self._base))
        waiting, self._waiting = self._waiting, []
        for ticket, sock, device in waiting:
            self.fork(ticket, sock, device)

    def fork(self, ticket: int, sock: socket.socket, device: str = "") -> None:
        """Asks for a worker that owns `sock` (closed here); answered by on_forked or on_fork_failed.

        `device` is what it is to see, as in Fork.
        """
        if self._channel is None:
            self._waiting.append((ticket, sock, device))
            return
        self._pending[ticket] = _Pending(ticket, self._clock())
        self._channel.send(Fork(ticket, device), (sock.detach(),))

    def check_hung(self, now: float) -> None:
        """Kills a zygote that neither prepares nor forks within its time; it is then started again."""
        oldest = min((pending.asked_at for pending in self._pending.values()), default=now)
        since = self._started_at if self._prepared_at is None else max(self._prepared_at, oldest)
        is_owing = self._prepared_at is None or bool(self._pending)
        if self._process and is_owing and now - since > self._settings.zygote_timeout_s:
            log.warning("zygote %d does not answer: killed", self._process.pid)
            self._process.kill()

    def give_up(self) -> None:
        """As `close`, of one that does not come up: whoever waits for a fork hears of it."""
        waiting, self._waiting = self._waiting, []
        for ticket, sock, _ in waiting:
            sock.close()
            self._events.on_fork_failed(ticket, "its zygote does not come up")
        self._fail_pending()
        self.close()

    def close(self) -> None:
        """Lets the zygote go: it ends, and its workers with it; nothing is started any more."""
        self._closed = True
        if self._restart:
            self._restart.cancel()
        for _, sock, _ in self._waiting:
            sock.close()
        self._waiting.clear()
        self._drop_channel()
        if self._process is None:
            self._ended.set()

    async def wait_until_ended(self, timeout_s: float) -> None:
        """After `close`: waits for the zygote's end, and kills it if that does not come in time."""
        try:
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        except TimeoutError:
            if self._process:
                self._process.kill()

    def _on_message(self, message: FromZygote, fds: tuple[int, ...]) -> None:
        match message:
            case Forked(ticket, pid) if len(fds) == 1:
                self._pending.pop(ticket, None)
                self._events.on_forked(ticket, pid, fds[0])
            case ForkFailed(ticket, error):
                self._pending.pop(ticket, None)
                self._events.on_fork_failed(ticket, error)
            case Exited(pid, code):
                self._events.on_exited(pid, code)
            case Prepared(missing, import_s):
                self._on_prepared(missing, import_s)
            case _:
                for fd in fds:
                    os.close(fd)
                self._on_channel_closed("Forked came without its pidfd")

    def _on_prepared(self, missing: tuple[tuple[str, str], ...], import_s: float) -> None:
        self._prepared_at = self._clock()
        self.missing, self.import_s = missing, import_s
        for module, reason in missing:
            log.warning(
                "the zygote could not import %s (%s): models that need it will not load", module, reason
            )

    def _on_channel_closed(self, reason: str) -> None:
        self._drop_channel()
        if self._process:
            if reason:
                log.warning("zygote %d: %s: killed", self._process.pid, reason)
            self._process.kill()

    def _on_process_exit(self, code: int) -> None:
        process, self._process = self._process, None
        if self._closed:
            self._ended.set()
            return
        now = self._clock()
        self._deaths = (*recent(self._deaths, now, self._settings.crash_window_s), now)
        wait_s = backoff(len(self._deaths), policy_of(self._settings), self._rng.random())
        pid = process.pid if process else ""
        extra = {"event": "zygote_died", "zygote_pid": pid, "end": describe(code), "next_in_s": wait_s}
        log.warning("zygote %s ended (%s); next one in %.1f s", pid, describe(code), wait_s, extra=extra)
        self._drop_channel()
        self._events.on_zygote_died()
        self._fail_pending()
        self._restart = self._loop.call_later(wait_s, self.start)

    def _fail_pending(self) -> None:
        """A fork that was asked for may have happened: its socket is never offered to another worker."""
        pending, self._pending = self._pending, {}
        for ticket in pending:
            self._events.on_fork_failed(ticket, "the zygote died")

    def _drop_channel(self) -> None:
        if self._channel:
            self._channel.close()
            self._channel = None
