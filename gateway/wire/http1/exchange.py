"""One HTTP/1.1 request's answering side: framing of answers, whole and streamed."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.core.caller import ANYBODY
from gateway.core.tensor import Buffer
from gateway.wire.exchange import Exchange, Headers
from gateway.wire.http1.encoding import (
    JSON,
    declared_length,
    error_body,
    has_body,
    head_bytes,
    size_bytes,
    whole_head,
)
from gateway.wire.http1.head import TAIL_CLOSE, RequestHead

if TYPE_CHECKING:
    from gateway.wire.http1.connection import Http1Connection

LOG = logging.getLogger(__name__)

# Below this, one memcpy is cheaper than a second entry in the kernel's vector (measured: 3 us at 64 KiB).
JOIN_BYTES: Final = 64 << 10
# Chunks up to here wait for the end of the loop's turn, until as much is gathered.
_GATHER_BYTES: Final = 16 << 10


class Framing(enum.Enum):
    """How the client knows where a streamed answer ends."""

    NOT_STARTED = enum.auto()
    NO_BODY = enum.auto()  # answers to HEAD, 204, 304
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()  # HTTP/1.0 without a length


class Http1Exchange(Exchange):
    """Answers one request of a connection; see `Exchange` for what callers may rely on.

    Invariant: `_connection` is None exactly when the answer has ended or can no longer be given.
    `_gathered` is what has been written in this turn of the loop and was not sent, `_gathered_bytes`
    long; both are there once the answer has started.
    """

    __slots__ = ("_connection", "_framing", "_gathered", "_gathered_bytes", "_left", "request")

    def __init__(self, connection: Http1Connection, request: RequestHead) -> None:
        self._connection: Http1Connection | None = connection
        self.request = request
        self.head = request.head
        self.peer = connection.peer
        self.caller = ANYBODY
        self.on_gone = None
        self.on_writable = None
        self._framing = Framing.NOT_STARTED

    # ---- the whole answer ----

    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        connection = self._connection
        if connection is None:
            if on_written is not None:
                on_written()
            return
        if self._framing is not Framing.NOT_STARTED:
            raise RuntimeError("the answer has begun as a stream")
        request = self.request
        # An answer before the request's end leaves the rest of it unread: then the connection ends.
        is_last = connection.is_ending or connection.is_receiving
        tail = TAIL_CLOSE if is_last else request.tail
        # The path of nearly every answer: one small bytes object, one write.
        if type(body) is bytes and status == 200 and not request.is_head and len(body) <= JOIN_BYTES:
            answer = whole_head(status, headers, len(body), tail) + body
            self._connection = self.on_gone = self.on_writable = None
            connection.write(answer)
            if on_written is not None:
                on_written()
        else:
            head = head_bytes(status, headers)
            self._connection = self.on_gone = self.on_writable = None
            pieces = body if isinstance(body, tuple) else (body,)
            self._respond_in_pieces(connection, status, head, tail, pieces, on_written)
        connection.answered(keeps=request.keeps)

    def _respond_in_pieces(
        self,
        connection: Http1Connection,
        status: int,
        head: bytes,
        tail: bytes,
        pieces: tuple[Buffer, ...],
        on_written: Callable[[], None] | None,
    ) -> None:
        size = sum(map(size_bytes, pieces))
        if has_body(status):
            head = b"%b\r\ncontent-length: %d%b" % (head, size, tail)
        else:
            head += tail
        if self.request.is_head or not has_body(status):
            size, pieces = 0, ()
        if size <= JOIN_BYTES:
            connection.write(b"".join((head, *pieces)))
            if on_written is not None:
                on_written()
            return
        connection.write(head)
        for piece in pieces:
            if size_bytes(piece):
                connection.write(piece)
        if on_written is not None:
            connection.outgoing.call_when_written(on_written)

    # ---- the streamed answer ----

    def start(self, status: int, headers: Headers) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._framing is not Framing.NOT_STARTED:
            raise RuntimeError("the answer has begun already")
        head = head_bytes(status, headers)
        length = declared_length(headers)
        tail = TAIL_CLOSE if connection.is_ending else self.request.tail
        self._left = length or 0
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        if self.request.is_head or not has_body(status):
            self._framing = Framing.NO_BODY
        elif length is not None:
            self._framing = Framing.LENGTH
        elif self.request.is_http10:
            self._framing, tail = Framing.CLOSE, TAIL_CLOSE
        else:
            self._framing = Framing.CHUNKED
            head += b"\r\ntransfer-encoding: chunked"
        connection.write(head + tail)

    def write(self, data: Buffer) -> None:
        connection = self._connection
        if connection is None:
            return
        framing = self._framing
        if framing is Framing.NOT_STARTED:
            raise RuntimeError("write before start")
        size = size_bytes(data)
        if not size or framing is Framing.NO_BODY:
            return
        if framing is Framing.CHUNKED:
            self._gather(connection, data, size)
            return
        if framing is Framing.LENGTH:
            self._count(size)
        connection.write(data)

    def finish(self, trailers: Headers = ()) -> None:
        connection = self._connection
        if connection is None:
            return
        framing = self._framing
        if framing is Framing.NOT_STARTED:
            raise RuntimeError("finish before start")
        if framing is Framing.LENGTH and self._left:
            self.abort()
            return
        self._connection = self.on_gone = self.on_writable = None
        if framing is Framing.CHUNKED:
            self._send_gathered(connection, b"0\r\n\r\n")
        connection.answered(keeps=self.request.keeps and framing is not Framing.CLOSE)

    def abort(self) -> None:
        connection = self._connection
        if connection is not None:
            self._send_what_is_gathered()
            self._connection = self.on_gone = self.on_writable = None
            connection.break_off(reset=self._framing is Framing.CLOSE)

    def _gather(self, connection: Http1Connection, data: Buffer, size: int) -> None:
        """Small chunks of one turn go out as one: a system call costs as much as making an event."""
        if size > _GATHER_BYTES:
            self._send_gathered(connection)
            _write_chunk(connection, data, size)
            return
        if not self._gathered:
            (connection.shared.call_soon or asyncio.get_running_loop().call_soon)(self._send_what_is_gathered)
        self._gathered.append(data if isinstance(data, bytes) else bytes(data))
        self._gathered_bytes += size
        if self._gathered_bytes > _GATHER_BYTES:
            self._send_gathered(connection)

    def _send_what_is_gathered(self) -> None:
        connection = self._connection
        if connection is not None and self._framing is Framing.CHUNKED:
            self._send_gathered(connection)

    def _send_gathered(self, connection: Http1Connection, tail: bytes = b"") -> None:
        size = self._gathered_bytes
        if size:
            connection.write(b"".join((b"%x\r\n" % size, *self._gathered, b"\r\n", tail)))
            self._gathered = []
            self._gathered_bytes = 0
        elif tail:
            connection.write(tail)

    def _count(self, size: int) -> None:
        if size > self._left:
            self.abort()
            raise RuntimeError("more bytes than the answer's content-length")
        self._left -= size

    # ---- state and flow ----

    @property
    def is_writable(self) -> bool:
        connection = self._connection
        return connection is None or connection.is_writable

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    @property
    def is_started(self) -> bool:
        """True once the head of a streamed answer has been sent."""
        return self._framing is not Framing.NOT_STARTED

    def pause_reading(self) -> None:
        if self._connection is not None:
            self._connection.hold_body(is_held=True)

    def resume_reading(self) -> None:
        if self._connection is not None:
            self._connection.hold_body(is_held=False)

    def client_gone(self) -> None:
        """Must be called when no answer can be given any more; tells the endpoint once."""
        if self._connection is None:
            return
        self._connection = None
        gone, self.on_gone, self.on_writable = self.on_gone, None, None
        if gone is None:
            return
        try:
            gone()
        except Exception:
            LOG.exception("an endpoint failed to take notice of a lost client")

    def fail(self) -> None:
        """After an exception: 500 if nothing was sent, else the client must see that it is broken."""
        if self._framing is Framing.NOT_STARTED:
            self.respond(500, JSON, error_body("internal error"))
        else:
            self.abort()


def _write_chunk(connection: Http1Connection, data: Buffer, size: int) -> None:
    if size <= JOIN_BYTES:
        connection.write(b"".join((b"%x\r\n" % size, data, b"\r\n")))
        return
    connection.write(b"%x\r\n" % size)
    connection.write(data)
    connection.write(b"\r\n")
