"""The contract between HTTP and the services above it: heads in, exchanges to answer on.

DESIGN: callbacks, not coroutines. At 64 connections a whole request may cost 30 us of the front's
time; an asyncio task, its first step and its wake-up cost 8 us of that, an ASGI cycle 15 us. A hot
endpoint is therefore called once with the whole body and answers by one call of `respond`, now or
later. All else is served by a Starlette app behind `asgi.py`, through the streaming half.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import NamedTuple, Protocol

from mypy_extensions import mypyc_attr

from gateway.core.caller import Caller
from gateway.core.errors import GatewayError
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer

Headers = tuple[tuple[bytes, bytes], ...]


class Head:
    """A request's head; header names are lower case; never changed once built.

    HTTP/2 shares one Head among requests whose header block was the same bytes, so that whatever was
    worked out from it once (`endpoint`) need not be worked out again.
    """

    __slots__ = ("authority", "endpoint", "headers", "http_version", "method", "path", "query", "scheme")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        *,
        http_version: str,
        scheme: bytes = b"http",
        authority: bytes = b"",
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition(b"?")  # still percent-encoded
        self.headers = headers
        self.http_version = http_version  # "1.0", "1.1" or "2"
        self.scheme = scheme
        self.authority = authority
        self.endpoint: Endpoint | None = None  # filled by the connection from Service.route

    def get(self, name: bytes) -> bytes | None:
        """The value of the first header called `name` (lower case)."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Peer(NamedTuple):
    """Who is at the other end of a connection."""

    address: tuple[str, int] | None
    tls_subject: str | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange(abc.ABC):
    """One request's answering side. Use `respond` alone, or `start`, `write`*, `finish`.

    Invariant: at most one answer; calls after the client has gone, or after the end, do nothing
    (but `on_written` is still called), so that a late answer needs no check.
    """

    __slots__ = ("caller", "head", "on_gone", "on_writable", "peer")

    head: Head
    peer: Peer
    # Who makes the request, as far as anybody was asked; told before the endpoint is.
    caller: Caller
    # Called once if the client goes away (reset, closed socket, our own limits) before the answer ended.
    on_gone: Callable[[], None] | None
    # Called when `is_writable` turns true again.
    on_writable: Callable[[], None] | None

    @abc.abstractmethod
    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        """Sends a whole answer; `headers` without content-length, which is added here.

        `body` may be several buffers, sent one after the other without joining large ones.
        `on_written` is called once no buffer of `body` is needed any more. `trailers` are sent on
        HTTP/2 only. Header tuples that repeat should be the same constant: their encoding is cached.
        """

    @abc.abstractmethod
    def start(self, status: int, headers: Headers) -> None:
        """Opens a streamed answer and sends its head at once."""

    @abc.abstractmethod
    def write(self, data: Buffer) -> None:
        """Appends to a streamed answer; never blocks: callers stop while not `is_writable`.

        What is written in one turn of the event loop may go out together at its end.
        """

    @abc.abstractmethod
    def finish(self, trailers: Headers = ()) -> None:
        """Ends a streamed answer."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Breaks the answer off so that the client sees it was not complete (reset or close)."""

    @property
    @abc.abstractmethod
    def is_writable(self) -> bool:
        """False while more unsent bytes are buffered than the write limit."""

    @property
    @abc.abstractmethod
    def is_open(self) -> bool:
        """False once answered, aborted, or the client has gone."""

    @abc.abstractmethod
    def pause_reading(self) -> None:
        """Stops taking this request's body off the network (streaming endpoints)."""

    @abc.abstractmethod
    def resume_reading(self) -> None:
        """Goes on taking this request's body."""


class Receiver(Protocol):
    """The reading side of a streaming endpoint."""

    def on_data(self, data: bytes) -> None:
        """A piece of the body, in order."""

    def on_end(self) -> None:
        """The body is complete."""


class Endpoint(Protocol):
    """What answers a head. Chosen before the body is read, so it also says how to read it."""

    # True: the body is collected and `handle` called once. False: `open` is called at once.
    whole: bool

    @property
    def max_body_bytes(self) -> int:
        """Of the body as it travels; beyond it the request is refused with TooLarge, unread where known."""

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        """Answers a request; `lease` holds `body` where that lies in shared memory (held once for us)."""

    def open(self, exchange: Exchange) -> Receiver:
        """Begins a streamed request."""

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answers `exchange` with an error that wire found (too large, too slow) in this protocol's form."""

    def body_size(self, head: Head, first: Buffer) -> int | None:
        """The body's size as told by its first bytes (length-prefixed protocols), else None."""

    def payload_offset(self, head: Head) -> int:
        """Where in the body the bulk data start: memory for the body is aligned for that offset."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PlainBody:
    """An Endpoint, but for `handle` and `refuse`, that knows nothing of a body before it has it whole."""

    __slots__ = ("max_body_bytes",)

    whole = True

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes

    def open(self, exchange: Exchange) -> Receiver:
        """Never called: bodies are collected."""
        raise NotImplementedError("this endpoint takes whole bodies")

    def body_size(self, head: Head, first: Buffer) -> int | None:
        """Nothing in a body tells its size."""
        return None

    def payload_offset(self, head: Head) -> int:
        """Nothing in a body is to be aligned."""
        return 0


class Service(Protocol):
    """Maps heads to endpoints; never fails: an unknown path has an endpoint that says so."""

    def route(self, head: Head) -> Endpoint:
        """The endpoint for `head`; depends on nothing but the head."""


class BodyMemory(Protocol):
    """Memory for large bodies that worker processes can see without a copy."""

    def allocate(self, size: int, payload_offset: int) -> tuple[memoryview, Lease] | None:
        """`size` writable bytes, aligned to 64 at `payload_offset`; None where there is no room."""
