"""What an answer repeats of its request's head: X-Request-Id, and the attributes of a CloudEvent.

Nothing of this touches a request without these headers. X-Request-Id comes back as it was sent, and is
the request's `id` where its body has none. An inference sent as a CloudEvent in binary mode (ce-id and
ce-specversion among its headers) is answered as one, of the type and source that KServe gives to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.core.errors import GatewayError
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.frontends.v2_rest.endpoints import Infer
from gateway.frontends.v2_rest.signed import Signed
from gateway.wire.exchange import Endpoint, Exchange, Head, Headers, Receiver

REQUEST_ID = b"x-request-id"
EVENT_ID = b"ce-id"
_EVENT_VERSION = b"ce-specversion"

# What is repeated must be harmless wherever it is written; anything else is passed over.
_PLAIN = re.compile(rb"[\x20-\x7e]{1,256}")


def echoing(head: Head, endpoint: Endpoint) -> Endpoint:
    """`endpoint`, answering with what `head` wants repeated."""
    identity = _value(head, REQUEST_ID)
    extra: Headers = ((REQUEST_ID, identity),) if identity else ()
    if isinstance(endpoint, Infer | Signed):
        extra += _event(head, endpoint.model)
        if identity:
            endpoint = endpoint.under(identity.decode("ascii"))
    return Echoing(endpoint, extra) if extra else endpoint


def _event(head: Head, model: str) -> Headers:
    identity, version = _value(head, EVENT_ID), _value(head, _EVENT_VERSION)
    if not identity or not version:
        return ()
    return (
        (_EVENT_VERSION, version),
        (EVENT_ID, identity),
        (b"ce-source", b"io.kserve.inference." + model.encode()),
        (b"ce-type", b"io.kserve.inference.response"),
    )


def _value(head: Head, name: bytes) -> bytes:
    value = head.get(name) or b""
    return value if _PLAIN.fullmatch(value) else b""


class Echoing:
    """An endpoint whose answers have more headers."""

    __slots__ = ("_endpoint", "_extra", "max_body_bytes", "whole")

    def __init__(self, endpoint: Endpoint, extra: Headers) -> None:
        self._endpoint = endpoint
        self._extra = extra
        self.whole = endpoint.whole
        self.max_body_bytes = endpoint.max_body_bytes

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        self._endpoint.handle(EchoingExchange(exchange, self._extra), body, lease)

    def open(self, exchange: Exchange) -> Receiver:
        return self._endpoint.open(EchoingExchange(exchange, self._extra))

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._endpoint.refuse(EchoingExchange(exchange, self._extra), error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return self._endpoint.body_size(head, first)

    def payload_offset(self, head: Head) -> int:
        return self._endpoint.payload_offset(head)


class EchoingExchange(Exchange):
    """Another exchange, whose answer gets more headers."""

    __slots__ = ("_extra", "_inner")

    def __init__(self, inner: Exchange, extra: Headers) -> None:
        self._inner = inner
        self._extra = extra
        self.head = inner.head
        self.peer = inner.peer
        self.caller = inner.caller
        # Passed on by calls, not by properties: those a compiled caller does not see.
        self.on_gone: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        inner.on_gone = self._tell_gone
        inner.on_writable = self._tell_writable

    def _tell_gone(self) -> None:
        if self.on_gone is not None:
            self.on_gone()

    def _tell_writable(self) -> None:
        if self.on_writable is not None:
            self.on_writable()

    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        self._inner.respond(status, headers + self._extra, body, trailers, on_written)

    def start(self, status: int, headers: Headers) -> None:
        self._inner.start(status, headers + self._extra)

    def write(self, data: Buffer) -> None:
        self._inner.write(data)

    def finish(self, trailers: Headers = ()) -> None:
        self._inner.finish(trailers)

    def abort(self) -> None:
        self._inner.abort()

    @property
    def is_writable(self) -> bool:
        return self._inner.is_writable

    @property
    def is_open(self) -> bool:
        return self._inner.is_open

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()
