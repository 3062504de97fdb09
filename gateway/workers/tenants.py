"""Shared workers as the controller holds them: processes that host several models, and their tenants.

DESIGN: a tenant is a worker to whoever has it, with a control socket, messages and an end of its own.
What it has not is a process: it can be asked to go, and is waited for as long as its load may take, but
what ends it by force ends all its neighbours. They hear that it was no fault of theirs; where a process
died and nobody knows whose model did it, all of them are held to account, and their owners ask for
workers of their own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core.clock import Clock
from gateway.core.device import Seat
from gateway.workers.forkserver import Channel, OpenChannel
from gateway.workers.handle import STATUS_WAIT_S, Exit, OnExit, OnMessage, WorkerHandle
from gateway.workers.messages import (
    Admit,
    Beat,
    Broken,
    FromWorker,
    Load,
    Loaded,
    LoadFailed,
    Stop,
    ToWorker,
    Wake,
)
from gateway.workers.settings import WorkerSettings

# An empty one is kept so long, with its context and whatever the engine has made ready.
LINGER_S = 30.0


class Spawns(Protocol):
    """What makes processes."""

    def spawn(self, on_message: OnMessage, on_exit: OnExit, seat: Seat) -> WorkerHandle: ...


class Timers(Protocol):
    """Makes things happen later."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle: ...


class Means(msgspec.Struct, frozen=True):
    """What shared workers are made with; `new_id` gives no worker's id twice, processes' included."""

    settings: WorkerSettings
    open_channel: OpenChannel
    new_id: Callable[[], int]
    timers: Timers
    clock: Clock


class Tenant:
    """One model's part of a shared worker; `on_exit` is called exactly once."""

    def __init__(self, host: Host, means: Means, on_message: OnMessage, on_exit: OnExit) -> None:
        self.id = means.new_id()
        self.is_ended = False
        self.is_ending = False
        self.reason = ""  # why all have to go on its account
        self._host = host
        self._means = means
        self._on_message = on_message
        self._on_exit = on_exit
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._may_load_until = 0.0

    @property
    def pid(self) -> int | None:
        """That of the process."""
        return self._host.pid

    def open(self, sock: socket.socket) -> None:
        """Takes our end of its control socket."""
        self._channel = self._means.open_channel(sock, FromWorker, self._received, self._closed)

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None:
        """Sends at once or as soon as the tenant exists; takes `fds` over."""
        if isinstance(message, Load | Wake):
            self._may_load_until = self._means.clock() + self._means.settings.load_timeout_s
        if self._channel:
            self._channel.send(message, fds)
            return
        for fd in fds:
            os.close(fd)

    def hand_over(self, on_message: OnMessage, on_exit: OnExit) -> None:
        """It has another owner from now on."""
        self._on_message, self._on_exit = on_message, on_exit

    def stop(self, grace_s: float) -> None:
        """Asks it to finish the batch in hand and go; after `grace_s` as `terminate`."""
        if self.is_ending or self.is_ended:
            return
        self.is_ending = True
        self.send(Stop())
        self._after(grace_s, self.terminate)

    def terminate(self, reason: str = "") -> None:
        """Has it go as soon as it can: what loads has its load's time for it, before all are killed."""
        self.is_ending = True
        left_s = max(self._means.settings.term_grace_s, self._may_load_until - self._means.clock())
        self.send(Stop())
        self._after(left_s, lambda: self.condemn(reason or "it did not stop"))

    def kill(self, reason: str = "") -> None:
        """Ends the whole process, unless it turns out to end by itself: fronts often see that first."""
        self._after(STATUS_WAIT_S, lambda: self.condemn(reason or "killed"))

    def condemn(self, reason: str) -> None:
        """Ends the whole process at once, on this tenant's account."""
        if not self._host.is_ending:
            self.reason = reason
            self._host.kill(f"a model it hosts: {reason}")

    def ended(self, end: Exit) -> None:
        """Its end is certain; tells the owner, once."""
        if self.is_ended:
            return
        self.is_ended = True
        if self._timer:
            self._timer.cancel()
        if self._channel:
            self._channel.close()
            self._channel = None
        self._host.forget(self)
        self._on_exit(end)

    def _received(self, message: FromWorker, fds: tuple[int, ...]) -> None:
        for fd in fds:  # a worker has none to give
            os.close(fd)
        match message:
            case Beat(busy_s):
                limit_s = self._means.settings.hung_after_s
                if busy_s > limit_s and not self.is_ending:
                    self.condemn(f"a batch ran for more than {limit_s:g} s")
            case Broken(reason):
                self.reason = self.reason or reason
            case Loaded():
                self._may_load_until = 0.0
                self._on_message(message)
            case LoadFailed():
                self._may_load_until = 0.0
                self._on_message(message)
            case _:
                self._on_message(message)

    def _closed(self, reason: str) -> None:
        """It has gone, or the whole process has, which says so itself."""
        self._channel = None
        if self.reason:
            return
        if self.is_ending:
            self.ended(Exit(0))
        else:
            self._host.look_after(self, reason)

    def _after(self, delay_s: float, step: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        if not self.is_ended:
            self._timer = self._means.timers.call_later(delay_s, step)


class Host:
    """One shared worker. Invariant: `tenants` are those that have not ended."""

    def __init__(self, seat: Seat, means: Means, pool: Spawns, on_gone: Callable[[Host], None]) -> None:
        self.seat = seat
        self.tenants: dict[int, Tenant] = {}
        self._means = means
        self._on_gone = on_gone
        self._linger: asyncio.TimerHandle | None = None
        own = msgspec.structs.replace(seat, is_shared=False)
        self._handle = pool.spawn(lambda _: None, self._exited, own)

    @property
    def pid(self) -> int | None:
        """Its process while there is one."""
        return self._handle.pid

    @property
    def is_ending(self) -> bool:
        """True when it has been told to end, or has ended."""
        return self._handle.is_ending or self._handle.is_ended

    @property
    def is_open(self) -> bool:
        """True while it takes tenants."""
        return len(self.tenants) < self._means.settings.shared_by and not self.is_ending

    def admit(self, on_message: OnMessage, on_exit: OnExit) -> Tenant:
        """One more tenant; messages may be sent to it at once."""
        if self._linger:
            self._linger.cancel()
            self._linger = None
        tenant = Tenant(self, self._means, on_message, on_exit)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tenant.open(ours)
        self.tenants[tenant.id] = tenant
        self._handle.send(Admit(), (theirs.detach(),))
        self._handle.watch()
        return tenant

    def kill(self, reason: str) -> None:
        """Ends it and all that it hosts."""
        self._handle.kill(reason)

    def look_after(self, tenant: Tenant, reason: str) -> None:
        """A tenant closed its socket, and was not to: its process has ended, or must."""
        if self._handle.is_ended:
            tenant.ended(Exit(None))
        elif reason:
            tenant.condemn(reason)
        # Else the process is ending by itself, or the thread that served it has, and took it along.

    def forget(self, tenant: Tenant) -> None:
        """It has ended; an empty worker is kept for a while."""
        self.tenants.pop(tenant.id, None)
        if not self.tenants and not self._handle.is_ended and not self._linger:
            self._linger = self._means.timers.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        self._linger = None
        if not self.tenants:
            self._handle.stop(self._means.settings.stop_grace_s)

    def _exited(self, end: Exit) -> None:
        if self._linger:
            self._linger.cancel()
        self._on_gone(self)
        is_known = any(one.reason for one in self.tenants.values()) or end.is_blameless
        for tenant in tuple(self.tenants.values()):
            own = Exit(end.code, tenant.reason or end.reason, is_known and not tenant.reason)
            tenant.ended(own)


class SharedWorkers:
    """Hands out workers as the pool behind it does, and tenants of shared ones for seats that are."""

    def __init__(self, pool: Spawns, means: Means) -> None:
        self._pool = pool
        self._means = means
        self._hosts: dict[Seat, list[Host]] = {}

    def spawn(self, on_message: OnMessage, on_exit: OnExit, seat: Seat) -> WorkerHandle | Tenant:
        """A worker for `seat`, or room in one."""
        if not seat.is_shared:
            return self._pool.spawn(on_message, on_exit, seat)
        hosts = self._hosts.setdefault(seat, [])
        found = [one for one in hosts if one.is_open]
        host = max(found, key=lambda one: len(one.tenants), default=None)  # so that others may become empty
        if host is None:
            host = Host(seat, self._means, self._pool, self._on_gone)
            hosts.append(host)
        return host.admit(on_message, on_exit)

    def _on_gone(self, host: Host) -> None:
        self._hosts[host.seat].remove(host)

    def check(self) -> None:
        """Asserts the invariants."""
        for hosts in self._hosts.values():
            for host in hosts:
                assert len(host.tenants) <= self._means.settings.shared_by
                assert not any(one.is_ended for one in host.tenants.values())
