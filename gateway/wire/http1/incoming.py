"""The body of one request on its way to its endpoint, whole or streamed, counted or chunked."""

from __future__ import annotations

from collections.abc import Callable

from gateway.wire.exchange import BodyMemory, Endpoint, Receiver
from gateway.wire.http1.body import CountedBody, GatheredBody
from gateway.wire.http1.chunked import ChunkDecoder, ChunkLimits
from gateway.wire.http1.deadlines import body_fault
from gateway.wire.http1.exchange import Http1Exchange
from gateway.wire.http1.head import CHUNKED, RequestHead
from gateway.wire.settings import WireSettings


class IncomingBody:
    """Feeds a body to where its endpoint wants it; `open` raises whatever the endpoint raises.

    Invariant: exactly one of `_gathered` (whole endpoints) and `_receiver` (streaming ones) is set.
    """

    __slots__ = (
        "_began",
        "_body",
        "_gathered",
        "_last",
        "_received",
        "_receiver",
        "_seen",
        "_swept",
        "exchange",
    )

    def __init__(
        self,
        exchange: Http1Exchange,
        limit: int,
        settings: WireSettings,
        memory: BodyMemory | None,
        now: float,
    ) -> None:
        request, endpoint = exchange.request, exchange.request.endpoint
        self.exchange = exchange
        self._gathered = _gather(request, endpoint, settings, memory) if endpoint.whole else None
        self._receiver: Receiver | None = None if endpoint.whole else endpoint.open(exchange)
        sink = self._sink()
        self._body: CountedBody | ChunkDecoder = (
            ChunkDecoder(sink, _chunk_limits(limit, settings))
            if request.body_bytes == CHUNKED
            else CountedBody(sink, request.body_bytes)
        )
        self._began = self._last = self._swept = now
        self._received = self._seen = 0

    @property
    def is_complete(self) -> bool:
        """True once all of it has been fed."""
        return self._body.is_complete

    def feed(self, data: bytes, at: int) -> int:
        """Takes the body's bytes of `data` from `at`; returns where they end. Raises Refused."""
        end = self._body.feed(data, at)
        self._received += end - at
        return end

    def end(self) -> None:
        """Must be called once, when complete: the endpoint has the whole request now."""
        if self._receiver is not None:
            self._receiver.on_end()
        elif self._gathered is not None:
            body, lease = self._gathered.finish()
            self.exchange.request.endpoint.handle(self.exchange, body, lease)

    def drop(self) -> None:
        """The request died before its body was complete: gives memory back."""
        if self._gathered is not None:
            self._gathered.drop()

    def fault(self, now: float, settings: WireSettings, *, is_paused: bool) -> str | None:
        """Why it comes too slowly, or None; the time in which we did not read is not the client's."""
        elapsed, self._swept = now - self._swept, now
        if is_paused:
            self._began += elapsed
            self._last = now
            return None
        if self._received != self._seen:
            self._seen, self._last = self._received, now
        return body_fault(now, self._began, self._last, self._received, settings)

    def _sink(self) -> Callable[[bytes], None]:
        if self._receiver is not None:
            return self._receiver.on_data
        assert self._gathered is not None
        return self._gathered.add


def _gather(
    request: RequestHead, endpoint: Endpoint, settings: WireSettings, memory: BodyMemory | None
) -> GatheredBody:
    if request.body_bytes < settings.shared_body_bytes:
        return GatheredBody.small()
    return GatheredBody.large(request.body_bytes, memory, endpoint.payload_offset(request.head))


def _chunk_limits(limit: int, settings: WireSettings) -> ChunkLimits:
    return ChunkLimits(limit, settings.max_chunks, settings.max_header_bytes, settings.max_headers)
