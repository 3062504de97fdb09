"""An endpoint's answer as grpcio wants it: messages without prefixes, a status, metadata."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

import grpc

from gateway.core.caller import ANYBODY
from gateway.core.tensor import Buffer
from gateway.frontends.v2_grpc.errors import Status, status_trailers
from gateway.frontends.v2_grpc.framing import PREFIX, PREFIX_BYTES, FrameReader
from gateway.wire.exchange import Exchange, Head, Headers, Peer

Metadata = tuple[tuple[str, str | bytes], ...]

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_BINARY = b"-bin"
# A message of ours is at most what a length prefix can say.
_ANY_SIZE = 1 << 32
# What grpcio says by itself: sending it twice would be an error.
_RESERVED = (b"grpc-status", b"grpc-message", b"grpc-encoding", b"grpc-accept-encoding", b"content-type")


class Context(Protocol):
    """A call as grpc.aio gives it to a handler."""

    async def read(self) -> bytes: ...
    async def write(self, message: bytes) -> None: ...
    async def send_initial_metadata(self, initial_metadata: Metadata) -> None: ...
    def invocation_metadata(self) -> Metadata | None: ...
    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None: ...
    def set_code(self, code: grpc.StatusCode) -> None: ...
    def set_details(self, details: str) -> None: ...
    def time_remaining(self) -> float | None: ...
    def peer(self) -> str: ...
    def auth_context(self) -> dict[str, list[bytes]]: ...


class GrpcioExchange(Exchange):
    """Keeps what is answered until `deliver` has given it to grpcio.

    Invariant: `_waiting_bytes` is the size of the messages in `_messages`.
    """

    __slots__ = (
        "_changed",
        "_headers",
        "_is_full",
        "_is_gone",
        "_limit",
        "_may_read",
        "_messages",
        "_reader",
        "_trailers",
        "_waiting_bytes",
    )

    def __init__(self, head: Head, peer: Peer, write_buffer_bytes: int) -> None:
        self.head = head
        self.peer = peer
        self.caller = ANYBODY
        self.on_gone: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self._limit = write_buffer_bytes
        self._headers: Headers | None = None  # None until the answer has begun
        self._trailers: Headers | None = None  # None until it has ended
        self._messages: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_full = False  # since it was last said that there is room again
        self._is_gone = False
        self._reader = FrameReader("", _ANY_SIZE, 1)
        self._changed = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()

    # ---- the endpoint's side ---------------------------------------------------------------------

    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        if self.is_open:
            self.start(status, headers)
            self._put(body if isinstance(body, tuple) else (body,))
            self.finish(trailers)
        if on_written is not None:
            on_written()  # the messages are copies: grpcio takes bytes and nothing else

    def start(self, status: int, headers: Headers) -> None:
        if not self.is_open or self._headers is not None:
            return
        self._headers = headers
        self._changed.set()
        if status != 200:  # no answer of gRPC: an endpoint's refusal of what it takes for no call
            self.finish(status_trailers(Status.UNKNOWN, f"HTTP status {status}"))

    def write(self, data: Buffer) -> None:
        if self.is_open:
            self._put((data,))
            self._changed.set()

    def finish(self, trailers: Headers = ()) -> None:
        if self.is_open:
            self._trailers = trailers
            self._changed.set()

    def abort(self) -> None:
        """The status that grpcio's clients make of a stream reset with INTERNAL_ERROR."""
        self._messages.clear()
        self._waiting_bytes = 0
        self.finish(status_trailers(Status.INTERNAL, "the answer was broken off"))

    @property
    def is_writable(self) -> bool:
        return self._waiting_bytes <= self._limit

    @property
    def is_open(self) -> bool:
        return self._trailers is None and not self._is_gone

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def _put(self, parts: tuple[Buffer, ...]) -> None:
        for message in self._messages_of(parts):
            self._messages.append(message)
            self._waiting_bytes += len(message)
        self._is_full = self._is_full or not self.is_writable

    def _messages_of(self, parts: tuple[Buffer, ...]) -> tuple[bytes, ...]:
        """The messages in `parts`; one that fills them is copied once."""
        first, size = memoryview(parts[0]), sum(map(len, parts))
        is_start = self._reader.is_empty and len(first) >= PREFIX_BYTES
        if is_start and PREFIX.unpack_from(first) == (0, size - PREFIX_BYTES):
            return (b"".join((first[PREFIX_BYTES:], *parts[1:])),)
        return tuple(self._reader.feed(b"".join(parts)))

    # ---- grpcio's side ---------------------------------------------------------------------------

    def gone(self) -> None:
        """Must be called when the client has gone."""
        told = self.on_gone if self.is_open else None
        self._is_gone = True
        if told is not None:
            told()

    async def wait_until_readable(self) -> None:
        """Returns once the endpoint takes more of the call's messages."""
        await self._may_read.wait()

    async def deliver(self, context: Context) -> None:
        """Gives the answer to grpcio as it comes, and returns at its end."""
        await self._changed.wait()
        metadata = _metadata(self._headers or ())
        if metadata or (self._trailers is None and not self._messages):
            await context.send_initial_metadata(metadata)
        while self._messages or self._trailers is None:
            if self._messages:
                await self._write(context)
            else:
                self._changed.clear()
                await self._changed.wait()
        _end(context, self._trailers)

    async def _write(self, context: Context) -> None:
        await context.write(self._messages[0])
        if self._messages:  # else it was aborted meanwhile
            self._waiting_bytes -= len(self._messages.popleft())
        if self._is_full and self.is_writable:
            self._is_full = False
            if self.on_writable is not None:
                self.on_writable()


def _end(context: Context, trailers: Headers) -> None:
    known = dict(trailers)
    context.set_code(_CODES.get(int(known.get(b"grpc-status", b"2")), grpc.StatusCode.UNKNOWN))
    context.set_details(unquote_to_bytes(known.get(b"grpc-message", b"")).decode("utf-8", "replace"))
    context.set_trailing_metadata(_metadata(trailers))


def _metadata(headers: Headers) -> Metadata:
    """`headers` without what grpcio sends by itself; binary ones as bytes."""
    return tuple([
        (name.decode(), base64.b64decode(value + b"==") if name.endswith(_BINARY) else value.decode())
        for name, value in headers
        if name not in _RESERVED
    ])
