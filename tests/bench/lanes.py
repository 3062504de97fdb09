"""One client connection with one request under way: HTTP/1.1, and gRPC over HTTP/2.

Written for little CPU per request, because one Python process must outrun the server it measures: request
bytes are ready made, and a response's header block that was seen before is not decoded again.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import cast

from hpack import Decoder

# Called when the request under way has ended: True for a good answer.
Ended = Callable[["Lane", bool], None]
# Called when the connection can take its first request, and when it has gone.
Event = Callable[["Lane"], None]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 1, 1, 4, 8
_HEADER_TABLE_SIZE, _INITIAL_WINDOW = 1, 4
_DEFAULT_WINDOW = 65_535
# Receive windows so wide that only the largest answers need an update: 2 GiB, less what there is.
_WIDE = (1 << 31) - 1
_FRAME = struct.Struct(">HBBBI")


class Broken(Exception):
    """The server sent something this client does not understand; a measurement must not go on."""


class Lane(asyncio.Protocol):
    """What both protocols share: the transport, whether a request is under way, and when it was due."""

    due = 0.0
    is_busy = False

    def __init__(self, ready: Event, ended: Ended, lost: Event) -> None:
        self._ready, self._ended, self._lost = ready, ended, lost
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.is_busy:
            self._finish(is_good=False)
        self._lost(self)

    def send(self) -> None:
        """Must be called on a lane that is ready and not busy."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the connection; what is under way is lost."""
        self._transport.close()

    def is_closing(self) -> bool:
        """True once the connection can take no further request."""
        return self._transport.is_closing()

    def _finish(self, *, is_good: bool) -> None:
        self.is_busy = False
        self._ended(self, is_good)


class RestLane(Lane):
    """POSTs the same bytes; a good answer has status 200 and as many bytes as it announces."""

    def __init__(self, request: bytes, ready: Event, ended: Ended, lost: Event) -> None:
        super().__init__(ready, ended, lost)
        self._request = request
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._ready(self)

    def send(self) -> None:
        self.is_busy = True
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0 or len(received) < end + 4 + content_length(received[:end]):
            return
        self._received = b""
        self._finish(is_good=received.startswith(b"HTTP/1.1 200"))


def content_length(head: bytes) -> int:
    """The body's size by the head of an answer; raises Broken where it tells none."""
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        raise Broken(f"an answer without content-length: {head[:200]!r}")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0])


class GrpcLane(Lane):
    """Unary calls on streams 1, 3, 5 …; a good answer carries data and grpc-status 0."""

    def __init__(self, calls: GrpcCalls, ready: Event, ended: Ended, lost: Event) -> None:
        super().__init__(ready, ended, lost)
        self._calls = calls
        self._decoder = Decoder()
        self._statuses: dict[bytes, bool | None] = {}
        self._received = b""
        self._stream = -1
        self._has_data = False
        self._window = _DEFAULT_WINDOW
        self._stream_window = self._initial = _DEFAULT_WINDOW
        self._unsent = b""
        self._unacknowledged = 0
        self._is_going = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        settings = struct.pack(">HIHI", 2, 0, _INITIAL_WINDOW, _WIDE)
        window = struct.pack(">I", _WIDE - _DEFAULT_WINDOW)
        transport_hello = _PREFACE + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, window)
        self._transport.write(transport_hello)

    def send(self) -> None:
        self.is_busy = True
        self._has_data = False
        self._stream += 2
        self._stream_window = self._initial
        stream = self._stream
        block = self._calls.block(is_first=stream == 1)
        head = frame(_HEADERS, _END_HEADERS, stream, block)
        message = self._calls.message
        size = len(message)
        if size <= 16_384 and size <= self._window and size <= self._stream_window:
            self._window -= size
            self._transport.write(head + frame(_DATA, _END_STREAM, stream, message))
        else:
            self._transport.write(head)
            self._unsent = message
            self._send_more()

    def _send_more(self) -> None:
        """Sends as much of the message as the server's windows allow."""
        while self._unsent:
            size = min(16_384, len(self._unsent), self._window, self._stream_window)
            if size <= 0:
                return
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            self._window -= size
            self._stream_window -= size
            flags = 0 if self._unsent else _END_STREAM
            self._transport.write(frame(_DATA, flags, self._stream, part))

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        at, end = 0, len(received)
        while at + 9 <= end:
            high, low, kind, flags, stream = _FRAME.unpack_from(received, at)
            after = at + 9 + (high << 8 | low)
            if after > end:
                break
            self._frame(kind, flags, stream, received[at + 9 : after])
            at = after
        self._received = received[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._has_data = self._has_data or bool(payload)
            self._acknowledge(len(payload))
        elif kind == _HEADERS:
            status = self._status(flags, payload)
            if flags & _END_STREAM and stream == self._stream and self.is_busy:
                self._end(is_good=status is True and self._has_data)
        elif kind == _WINDOW:
            self._widen(stream, struct.unpack(">I", payload)[0])
        else:
            self._control(kind, flags, stream, payload)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._apply_settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._transport.write(frame(_PING, _ACK, 0, payload))
        elif kind == _RST and stream == self._stream and self.is_busy:
            self._end(is_good=False)
        elif kind == _GOAWAY:
            self._is_going = True
            if not self.is_busy:
                self._transport.close()
        elif kind == _CONTINUATION:
            raise Broken("an answer's header block in several frames")

    def _end(self, *, is_good: bool) -> None:
        self._unsent = b""
        if self._is_going:
            self._transport.close()
        self._finish(is_good=is_good)

    def _status(self, flags: int, block: bytes) -> bool | None:
        """Whether a block's grpc-status is 0; None where it has none.

        The same bytes mean the same only while HPACK's table is what it was, so a block that changes
        the table forgets all that was known.
        """
        if block in self._statuses:
            return self._statuses[block]
        if flags & _PADDED or not flags & _END_HEADERS:
            raise Broken("padded or continued headers")
        table = self._decoder.header_table.dynamic_entries
        before = tuple(table)
        fields = dict(self._decoder.decode(block, raw=True))
        status = fields.get(b"grpc-status")
        answer = None if status is None else status == b"0"
        if tuple(table) != before:
            self._statuses.clear()
        else:
            self._statuses[block] = answer
        return answer

    def _acknowledge(self, size: int) -> None:
        """Gives the connection's window back every 512 MiB; a stream's is wide enough for any answer."""
        self._unacknowledged += size
        if self._unacknowledged > 1 << 29:
            update = struct.pack(">I", self._unacknowledged)
            self._transport.write(frame(_WINDOW, 0, 0, update))
            self._unacknowledged = 0

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream == self._stream:
            self._stream_window += size
        if self._unsent:
            self._send_more()

    def _apply_settings(self, payload: bytes) -> None:
        settings = dict(struct.iter_unpack(">HI", payload))
        if settings.get(_HEADER_TABLE_SIZE, 4096) < 4096:
            raise Broken("a server with a header table below 4096 bytes")
        if _INITIAL_WINDOW in settings:
            self._stream_window += settings[_INITIAL_WINDOW] - self._initial
            self._initial = settings[_INITIAL_WINDOW]
        self._transport.write(frame(_SETTINGS, _ACK, 0, b""))
        if self._stream < 0 and not self.is_busy:
            self._ready(self)


class GrpcCalls:
    """Header blocks and the message of the calls of all lanes.

    The constant headers enter HPACK's table with a connection's first call and are one byte each from
    then on. Changing ones go as literals without indexing and without Huffman coding: what grpcio's C
    core sends for an application's metadata. Their lengths never change, so a block is one formatting.
    """

    def __init__(
        self, path: str, authority: str, message: bytes, *, metadata: Mapping[str, str], unique: bool
    ) -> None:
        self.message = message
        constant = {
            ":path": path,
            ":authority": authority,
            "content-type": "application/grpc",
            "te": "trailers",
            "user-agent": "tests-bench",
            **metadata,
        }
        method_and_scheme = bytes((0x83, 0x86))
        inserts = b"".join(literal(name, value, kind=0x40) for name, value in constant.items())
        # The newest entry of the dynamic table has index 62, the oldest the highest.
        indexed = bytes(0x80 | 62 + place for place in reversed(range(len(constant))))
        self._first, self._later = method_and_scheme + inserts, method_and_scheme + indexed
        self._unique = _unique_metadata() if unique else b""
        self._number = 0

    def block(self, *, is_first: bool) -> bytes:
        constant = self._first if is_first else self._later
        if not self._unique:
            return constant
        self._number = n = self._number + 1
        return constant + self._unique % (n, n, 10_000_000 + n % 10_000_000, n)


def _unique_metadata() -> bytes:
    """A format of (trace, span, timeout in us of 8 digits, token), as three HPACK literals."""
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    timeout = "10000000u"
    # The size of an ordinary signed token: header, claims and signature, 220 characters in all.
    token = "Bearer eyJhbGciOiJFZERTQSJ9." + "c" * 168 + "." + "d" * 16
    blocks = (
        literal("traceparent", traceparent, kind=0x00)
        + literal("grpc-timeout", timeout, kind=0x00)
        + literal("authorization", token, kind=0x00)
    )
    escaped = blocks.replace(b"%", b"%%")
    escaped = escaped.replace(b"a" * 32, b"%032x").replace(b"b" * 16, b"%016x")
    return escaped.replace(b"10000000u", b"%08du").replace(b"d" * 16, b"%016x")


def literal(name: str, value: str, *, kind: int) -> bytes:
    """An HPACK literal with a literal name; `kind` 0x40 enters the table, 0x00 does not."""
    return bytes((kind,)) + _string(name.encode()) + _string(value.encode())


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, size = len(text) - 127, bytearray((127,))
    while rest > 0x7F:
        size.append(rest & 0x7F | 0x80)
        rest >>= 7
    size.append(rest)
    return bytes(size) + text


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame; its payload must be shorter than 16 MiB."""
    size = len(payload)
    return _FRAME.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload
