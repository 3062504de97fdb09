"""One non-blocking TCP connection that carries a dialogue; survives its sockets."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Protocol

from gateway.cli.bench.dialogue import Answer, Broken, Dialogue
from gateway.core.clock import Clock
from gateway.core.tensor import Buffer

_SMALL_READ = 16_384
_LARGE_READ = 1 << 20
_BUFFERS_A_CALL = 64
READ = select.EPOLLIN
_BOTH = select.EPOLLIN | select.EPOLLOUT


class Owner(Protocol):
    """What a connection reports to."""

    bytes_out: int
    bytes_in: int

    def answered(self, link: Connection, answer: Answer, started: float, sent: float, now: float) -> None:
        """A request ended; its slot is free."""

    def opened(self, link: Connection) -> None:
        """Requests may be made now."""

    def lost(self, link: Connection, kind: str, detail: str, now: float) -> None:
        """The socket is closed and every request in flight was answered; kind "" is a clean end."""


class Connection:
    """Opens, sends, receives and closes; `in_flight` maps a tag to when it was due and when it was sent."""

    # Invariant: is_open implies _socket is not None and registered with the epoll object.
    __slots__ = (
        "_address", "_clock", "_dialogue", "_epoll", "_family", "_is_blocked", "_is_connecting", "_large",
        "_make", "_owner", "_recv", "_send", "_socket", "fd", "has_answered", "in_flight", "is_open", "slots",
    )  # fmt: skip

    def __init__(
        self,
        address: tuple[int, tuple[object, ...]],
        make: Callable[[], Dialogue],
        slots: int,
        *,
        epoll: select.epoll,
        owner: Owner,
        large: bytearray,
        clock: Clock,
    ) -> None:
        self._family, self._address = address
        self._make = make
        self.slots = slots
        self._epoll = epoll
        self._owner = owner
        self._large = memoryview(large)  # shared by all connections: nothing stays in it
        self._clock = clock
        self._socket: socket.socket | None = None
        self.in_flight: dict[int, tuple[float, float]] = {}
        self.is_open = False
        self.fd = -1
        self.has_answered = False  # since it was opened last
        self._is_connecting = self._is_blocked = False

    @property
    def is_closing(self) -> bool:
        return self._dialogue.closing

    @property
    def is_ready(self) -> bool:
        return self.is_open and self._dialogue.ready

    @property
    def free_slots(self) -> int:
        return min(self.slots, self._dialogue.limit) - len(self.in_flight)

    def open(self) -> None:
        """Begins to connect; `Owner.opened` or `Owner.lost` follows."""
        self._dialogue = self._make()
        opened = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._recv, self._send = opened, opened.recv, opened.send
        self.fd = opened.fileno()
        self._is_connecting = self._is_blocked = True
        self.has_answered = False
        code = opened.connect_ex(self._address)
        self._epoll.register(self.fd, _BOTH)
        if code not in {0, errno.EINPROGRESS}:
            self._lose("connect", os.strerror(code))

    def close(self) -> None:
        """Closes the socket; says nothing to anyone."""
        if self._socket is not None:
            self._epoll.unregister(self.fd)
            self._socket.close()
        self._socket = None
        self.is_open = self._is_connecting = False

    def launch(self, started: float, now: float) -> None:
        """Sends a request that was due at `started`; must only be called while a slot is free."""
        tag = self._dialogue.request()
        self.in_flight[tag] = (started, now)
        out = self._dialogue.output
        if len(out) == 1 and not self._is_blocked:
            data = out[0]
            try:
                sent = self._send(data)
            except OSError as error:
                self._refused_to_send(error)
                return
            self._owner.bytes_out += sent
            if sent == len(data):
                out.clear()
                return
            out[0] = memoryview(data)[sent:]
        self._flush()

    def give_up(self, tag: int, kind: str, now: float) -> None:
        """Ends a request as `kind` without its answer."""
        if not self._dialogue.cancel(tag):
            self._lose(kind, "")
            return
        started, sent = self.in_flight.pop(tag)
        self._flush()
        self._owner.answered(self, Answer(tag, kind), started, sent, now)

    def on_event(self, mask: int) -> None:
        """Must be called with what epoll said about `fd`."""
        if self._socket is None:
            return  # closed by an earlier event of the same batch
        if mask & select.EPOLLOUT or self._is_connecting:
            self._on_writable()
        if mask & ~select.EPOLLOUT and self.is_open:
            self._on_readable()

    def _on_writable(self) -> None:
        assert self._socket is not None
        if self._is_connecting:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._lose("connect", os.strerror(code))
                return
            self._is_connecting = False
            self.is_open = True
            self._dialogue.open()
            self._unblock()
            if self._dialogue.ready:
                self._owner.opened(self)
            return
        self._unblock()

    def _unblock(self) -> None:
        self._is_blocked = False
        self._epoll.modify(self.fd, READ)
        self._flush()

    def _on_readable(self) -> None:
        dialogue = self._dialogue
        was_ready = dialogue.ready
        data: Buffer
        try:
            if dialogue.expected > _SMALL_READ:
                assert self._socket is not None
                size = self._socket.recv_into(self._large)
                data = self._large[:size]
            else:
                data = self._recv(_SMALL_READ)
            now = self._clock()
            owner = self._owner
            owner.bytes_in += len(data)
            answers = dialogue.feed(data) if data else dialogue.end()
        except BlockingIOError:
            return
        except (OSError, Broken) as error:
            self._lose("protocol" if isinstance(error, Broken) else "closed", str(error))
            return
        if dialogue.output:
            self._flush()
        for answer in answers:
            self.has_answered = True
            started, sent = self.in_flight.pop(answer.tag, (now, now))
            owner.answered(self, answer, started, sent, now)
        if not data or (dialogue.closing and not self.in_flight):
            self._lose("closed" if self.in_flight else "", "the server closed the connection")
        elif not was_ready and dialogue.ready:
            owner.opened(self)

    def _flush(self) -> None:
        out = self._dialogue.output
        while out and not self._is_blocked and self._socket is not None:
            try:
                sent = self._socket.sendmsg(out[:_BUFFERS_A_CALL])
            except OSError as error:
                self._refused_to_send(error)
                return
            self._owner.bytes_out += sent
            _drop(out, sent)

    def _refused_to_send(self, error: OSError) -> None:
        """A full socket waits; a broken one is seen by the next read, which may still find answers."""
        self._is_blocked = True
        if isinstance(error, BlockingIOError):
            self._epoll.modify(self.fd, _BOTH)

    def _lose(self, kind: str, detail: str) -> None:
        now = self._clock()
        self.close()
        ended, self.in_flight = self.in_flight, {}
        if not self._dialogue.ready:
            kind = "connect"
        for tag, (started, sent) in ended.items():
            self._owner.answered(self, Answer(tag, kind, detail), started, sent, now)
        self._owner.lost(self, kind if not ended else "", detail, now)


def _drop(out: list[Buffer], sent: int) -> None:
    """Removes the first `sent` bytes of `out`."""
    whole = 0
    for piece in out:
        if sent < len(piece):
            break
        sent -= len(piece)
        whole += 1
    del out[:whole]
    if sent:
        out[0] = memoryview(out[0])[sent:]
