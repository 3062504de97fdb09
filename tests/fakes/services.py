"""Services and endpoints for tests of the wire: they answer what they were sent, late or never."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.errors import GatewayError
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.wire.exchange import Endpoint, Exchange, Head, Headers, Receiver

TEXT: Headers = ((b"content-type", b"text/plain"),)


class FakeLease:
    """Counts its holds; starts with one."""

    def __init__(self) -> None:
        self.holds = 1

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        assert self.holds >= 0, "released more often than held"


class FakeBodyMemory:
    """Ordinary memory that remembers what it gave out; `room` False gives nothing."""

    def __init__(self) -> None:
        self.leases: list[FakeLease] = []
        self.asked: list[tuple[int, int]] = []
        self.room = True

    def allocate(self, size: int, payload_offset: int) -> tuple[memoryview, Lease] | None:
        self.asked.append((size, payload_offset))
        if not self.room:
            return None
        lease = FakeLease()
        self.leases.append(lease)
        return memoryview(bytearray(size)), lease


class WholeEndpoint:
    """Keeps exchanges with their bodies; answers by `answer`, which a test may replace."""

    whole = True

    def __init__(self, answer: Callable[[Exchange, Buffer], None] | None = None) -> None:
        self.max_body_bytes = 1 << 30
        self.answer = answer
        self.calls: list[tuple[Exchange, Buffer, Lease | None]] = []
        self.refusals: list[GatewayError] = []
        self.gone = 0
        self.offset = 0
        self.size_of: Callable[[Head, Buffer], int | None] | None = None

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        exchange.on_gone = self._count_gone
        self.calls.append((exchange, body, lease))
        if self.answer is not None:
            self.answer(exchange, body)

    def open(self, exchange: Exchange) -> Receiver:
        raise AssertionError("a whole endpoint is never opened")

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self.refusals.append(error)
        status = {"TOO_LARGE": 413, "REQUEST_TIMEOUT": 408}.get(error.reason.value, 500)
        exchange.respond(status, TEXT, b"refused: " + error.text.encode())

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return self.size_of(head, first) if self.size_of is not None else None

    def payload_offset(self, head: Head) -> int:
        return self.offset

    def _count_gone(self) -> None:
        self.gone += 1


class StreamReceiver:
    """Keeps the pieces of a body; passes them to `on_piece` where a test gave one."""

    def __init__(self, exchange: Exchange, on_end: Callable[[Exchange, bytes], None] | None) -> None:
        self.exchange = exchange
        self.pieces: list[bytes] = []
        self.ended = False
        self.on_piece: Callable[[Exchange, bytes], None] | None = None
        self._on_end = on_end

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def on_data(self, data: bytes) -> None:
        assert not self.ended, "data after the end"
        self.pieces.append(data)
        if self.on_piece is not None:
            self.on_piece(self.exchange, data)

    def on_end(self) -> None:
        assert not self.ended, "two ends"
        self.ended = True
        if self._on_end is not None:
            self._on_end(self.exchange, self.body)


class StreamEndpoint(WholeEndpoint):
    """Opens a StreamReceiver per request; `opening` runs first, `at_end` when the body is complete."""

    whole = False

    def __init__(
        self,
        at_end: Callable[[Exchange, bytes], None] | None = None,
        opening: Callable[[Exchange], None] | None = None,
    ) -> None:
        super().__init__()
        self.at_end = at_end
        self.opening = opening
        self.receivers: list[StreamReceiver] = []

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        raise AssertionError("a streaming endpoint is never handed a whole body")

    def open(self, exchange: Exchange) -> Receiver:
        exchange.on_gone = self._count_gone
        receiver = StreamReceiver(exchange, self.at_end)
        self.receivers.append(receiver)
        if self.opening is not None:
            self.opening(exchange)
        return receiver


def echo(exchange: Exchange, body: Buffer) -> None:
    """Answers 200 with the body."""
    exchange.respond(200, TEXT, body)


def describe(exchange: Exchange, body: Buffer) -> None:
    """Answers 200 with method, path, query and body, so that two answers can be compared."""
    head = exchange.head
    exchange.respond(200, TEXT, b"%s %s?%s %d:%s" % (head.method, head.path, head.query, len(body), body))


def fail(exchange: Exchange, body: Buffer) -> None:
    """A handler with a bug."""
    raise ZeroDivisionError("a handler's own bug")


class RoutingService:
    """Paths to endpoints; `fallback` for all others; counts how often it was asked."""

    def __init__(self, fallback: Endpoint, **by_path: Endpoint) -> None:
        self.fallback = fallback
        self.by_path = {f"/{name}".encode(): endpoint for name, endpoint in by_path.items()}
        self.routed = 0

    def route(self, head: Head) -> Endpoint:
        self.routed += 1
        return self.by_path.get(head.path, self.fallback)


class EchoService(RoutingService):
    """Every path echoes its body; `/late` never answers by itself; `/fail` raises; `/stream` streams."""

    def __init__(self) -> None:
        self.echo = WholeEndpoint(echo)
        self.late = WholeEndpoint()
        self.fail = WholeEndpoint(fail)
        self.stream = StreamEndpoint(lambda exchange, body: exchange.respond(200, TEXT, body))
        super().__init__(self.echo, late=self.late, fail=self.fail, stream=self.stream)
