"""What answers a gRPC call: one hot endpoint for ModelInfer, one form for other unary calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.messages import InferResponse, Lease
from gateway.core.tensor import Buffer
from gateway.frontends.codings import deflate
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_grpc.codec import decode, encode
from gateway.frontends.v2_grpc.errors import HEADERS, OK, answer_error
from gateway.frontends.v2_grpc.framing import PREFIX, PREFIX_BYTES, frame, message_size, unwrap
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.pipeline.control import NoControl, RepositoryService
from gateway.pipeline.observing import Observing
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange, Head, Headers, PlainBody, Receiver

# Requests of the small calls name a model or a service, no more.
SMALL_MESSAGE_BYTES = 64 << 10

_GZIP_HEADERS: Headers = (*HEADERS, (b"grpc-encoding", b"gzip"))

# Answers a unary call with the message given, perhaps later.
Call = Callable[[bytes, Exchange], None]


class Tools(NamedTuple):
    """What every endpoint works with."""

    service: InferenceService
    settings: GrpcSettings
    clock: Clock
    repository: RepositoryService = NoControl()
    observing: Observing = Observing()


class CallFormat(NamedTuple):
    """What a call's head says of it; codings are "" for none, `timeout_s` inf where none is set."""

    coding: str = ""
    answer_coding: str = ""
    timeout_s: float = inf


class Infer:
    """ModelInfer in one format; shared by all calls whose heads say the same."""

    __slots__ = ("_clock", "_format", "_infer", "_service", "_settings", "max_body_bytes")

    whole = True

    def __init__(self, tools: Tools, how: CallFormat) -> None:
        self._service = tools.service
        self._infer = tools.service.infer
        self._settings = tools.settings
        self._clock = tools.clock
        self._format = how
        self.max_body_bytes = tools.settings.max_message_bytes + PREFIX_BYTES

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        coding, _, timeout_s = self._format
        settings = self._settings
        try:
            deadline = inf if timeout_s == inf else self._clock() + timeout_s
            message, start = unwrap(body, coding, settings.max_message_bytes, settings.max_inflation)
            if lease is not None and message is not body:
                lease.release()
                lease = None
            request = decode(message, start, deadline, lease, self._clock)
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here costs one call, no connection
            if lease is not None:
                lease.release()
            self.refuse(exchange, as_gateway_error(error))
            return
        ticket = self._infer(request, partial(self._answer, exchange), exchange.caller)
        if ticket is not None:
            exchange.on_gone = ticket.cancel

    def open(self, exchange: Exchange) -> Receiver:
        raise NotImplementedError("ModelInfer takes whole bodies")

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._service.refused("grpc", error)
        answer_error(exchange, error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return message_size(first)

    def payload_offset(self, head: Head) -> int:
        """Not told by any head; fields before a single tensor's bytes are rarely what 64 divides."""
        return PREFIX_BYTES

    def _answer(self, exchange: Exchange, result: InferResponse | GatewayError) -> None:
        if isinstance(result, GatewayError):
            answer_error(exchange, result)
            return
        lease = result.lease
        headers = HEADERS
        try:
            body = encode(result)
            if self._format.answer_coding:
                body, headers = compressed(body), _GZIP_HEADERS
        except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer
            if lease is not None:
                lease.release()
            answer_error(exchange, as_gateway_error(error))
            return
        exchange.respond(200, headers, body, OK, None if lease is None else lease.release)


class Unary(PlainBody):
    """Any other unary call: small messages unless told otherwise, nothing remembered."""

    __slots__ = ("_call", "_format", "_max_bytes", "_settings")

    def __init__(
        self, tools: Tools, how: CallFormat, call: Call, max_bytes: int = SMALL_MESSAGE_BYTES
    ) -> None:
        super().__init__(max_bytes)
        self._settings = tools.settings
        self._format = how
        self._call = call
        self._max_bytes = max_bytes

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        try:
            message, start = unwrap(body, self._format.coding, self._max_bytes, self._settings.max_inflation)
            self._call(bytes(message[start:]), exchange)
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here costs one call, no connection
            answer_error(exchange, as_gateway_error(error))
        finally:
            if lease is not None:
                lease.release()

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        answer_error(exchange, error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return message_size(first)

    def payload_offset(self, head: Head) -> int:
        return PREFIX_BYTES


class Fixed(PlainBody):
    """Answers whatever comes in one way, because of its head."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Callable[[Exchange], None], max_body_bytes: int) -> None:
        super().__init__(max_body_bytes)
        self._answer = answer

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        if lease is not None:
            lease.release()
        self._answer(exchange)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._answer(exchange)


class Streaming(PlainBody):
    """A call whose messages are answered as they come: `begin` makes the receiving side."""

    __slots__ = ("_begin",)

    whole = False

    def __init__(self, begin: Callable[[Exchange], Receiver], max_body_bytes: int) -> None:
        super().__init__(max_body_bytes)
        self._begin = begin

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        raise NotImplementedError("a streaming call takes its messages one by one")

    def open(self, exchange: Exchange) -> Receiver:
        return self._begin(exchange)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        answer_error(exchange, error)


def answer_message(exchange: Exchange, message: bytes) -> None:
    """Ends a unary call with `message` and OK."""
    exchange.respond(200, HEADERS, frame(message), OK)


def compressed(body: bytes | tuple[Buffer, ...]) -> bytes:
    """A framed message as a framed and compressed one."""
    whole = b"".join(body) if isinstance(body, tuple) else body
    packed = deflate(memoryview(whole)[PREFIX_BYTES:], "gzip")
    return PREFIX.pack(1, len(packed)) + packed
