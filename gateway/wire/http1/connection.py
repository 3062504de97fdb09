"""One HTTP/1.1 connection: requests taken out of a byte stream one after the other, answered in order.

DESIGN. *Pipelined requests wait as bytes.* One request of a connection is worked on at a time: most of
ours are POSTs, which must not run side by side (RFC 9112 section 9.3.2), and answers that overtake each
other would have to be kept in memory. When more than `MAX_AHEAD_BYTES` wait, reading stops.

*A client that closes its sending half still gets its answer.* Its end-of-stream looks exactly like that
of a client that has gone, so after a second an interim `100 Continue` is sent, which every HTTP/1.1
client must be ready to skip (RFC 9110 section 15.2); a socket nobody holds answers it with a reset, and
the next sweep sees that in the socket's state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, TooLarge
from gateway.core.tensor import Buffer
from gateway.wire.exchange import BodyMemory, Peer, Service
from gateway.wire.half_closed import LINGER_S
from gateway.wire.http1.encoding import CONTINUE, refusal_bytes
from gateway.wire.http1.exchange import Http1Exchange
from gateway.wire.http1.head import HeadCache, Refused, RequestHead
from gateway.wire.http1.head_reader import HeadReader
from gateway.wire.http1.incoming import IncomingBody
from gateway.wire.http1.outgoing import Outgoing
from gateway.wire.http1.phase import ANSWER, BODY, CLOSED, HEAD, LINGER
from gateway.wire.http1.shared import Shared
from gateway.wire.http1.upkeep import Upkeep
from gateway.wire.settings import WireSettings

LOG = logging.getLogger(__name__)
_HEAD_END: Final = b"\r\n\r\n"
# What may wait behind a request that is being answered: some 16 usual ones of 4 KiB.
MAX_AHEAD_BYTES: Final = 64 << 10
# Requests answered in one go before other connections get their turn.
MAX_TURNS: Final = 16
# Between requests: half an empty line may wait for its other half.
_NOTHING: Final = frozenset((b"", b"\r"))

_FLOWING: Final = frozenset((HEAD, BODY, ANSWER))


class Http1Connection(asyncio.Protocol):
    """Serves one transport; never raises out of a callback.

    Invariant: `exchange` is None exactly in HEAD, CLOSED, and in LINGER once answered.
    Invariant: `incoming` is set only in BODY. `_rest` is empty in BODY, LINGER and CLOSED.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        service: Service,
        settings: WireSettings,
        clock: Clock,
        peer: Peer,
        body_memory: BodyMemory | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.peer = peer
        self.shared = shared = shared or Shared(HeadCache(0), {})
        self.on_lost: Callable[[], None] | None = None  # called when all is over
        self.write: Callable[[Buffer], None] = transport.write
        self.outgoing = Outgoing(transport, settings.write_buffer_bytes)
        self._transport = transport
        self._settings = settings
        self._clock = clock
        self._memory = body_memory
        self._cached = shared.heads.get
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        scheme = b"https" if self._is_tls else b"http"
        self.reader = HeadReader(service, settings, shared.heads, scheme, clock)
        self._upkeep = Upkeep(settings, clock())
        # The largest body that is cut out of the piece it came in and handled at once.
        self._short_bytes = min(settings.shared_body_bytes - 1, settings.max_body_bytes)

        self.phase = HEAD
        self.incoming: IncomingBody | None = None
        self.exchange: Http1Exchange | None = None
        self.is_writable = self.is_reading = True
        self.is_ending = False  # the next answer is the last one
        self.is_receiving = False  # the current request is not complete
        self.pieces_received = 0
        self.half_closed_at = inf  # when the client's end-of-stream came
        self.linger_until = inf
        self._rest = b""  # bytes not yet looked at, or the beginning of a head
        self._is_consuming = self._is_body_held = False

    # ---- bytes in ----

    def data_received(self, data: bytes) -> None:
        self.pieces_received += 1
        phase = self.phase
        if phase is HEAD:
            if self._rest:
                data, self._rest = self._rest + data, b""
            self._consume(data)
        elif phase is BODY:
            at = self._take_body(data, 0)
            if at < len(data):
                self._rest = data[at:]
                self._update_reading()
                self._go_on()
        elif phase is ANSWER:
            self._rest += data
            self._update_reading()

    def _consume(self, data: bytes) -> None:
        """Takes requests out of `data` until it ends or one must wait for more bytes or its answer."""
        reader, cached, short_bytes = self.reader, self._cached, self._short_bytes
        size, at, turns = len(data), 0, MAX_TURNS
        self._is_consuming = True
        while at < size and turns and self.phase is HEAD and self.is_writable:
            turns -= 1
            end = data.find(_HEAD_END, at) + 4
            request = None if end == 3 or reader.is_partial else cached(data[at:end])
            if request is None:
                request, at = self._take_head(data, at, end)
                if request is None and end == 3:
                    break
                if request is None:
                    continue
            endpoint = request.endpoint
            at = end + request.body_bytes
            short = at - end
            if not (end <= at <= size and short <= short_bytes and endpoint.whole) or (
                short > endpoint.max_body_bytes
            ):
                at = self._begin_body(request, data, end)
            else:
                self.phase = ANSWER
                self.exchange = exchange = Http1Exchange(self, request)
                try:
                    endpoint.handle(exchange, data[end:at], None)
                except Exception:
                    LOG.exception("an endpoint failed")
                    exchange.fail()
        self._is_consuming = False
        self._keep(data, at, had_turns=turns > 0)

    def _keep(self, data: bytes, at: int, *, had_turns: bool) -> None:
        """What is left of `data` waits for its time, which may be the loop's next round."""
        phase = self.phase
        if at < len(data) and (phase is HEAD or phase is ANSWER):
            self._rest = data[at:]
            if phase is HEAD and not had_turns:
                (self.shared.call_soon or asyncio.get_running_loop().call_soon)(self._go_on)
            self._update_reading()
        elif not self.is_reading:
            self._update_reading()
        if self.half_closed_at != inf and (self.is_idle or self.reader.is_partial):
            self.finish()

    def _go_on(self) -> None:
        """Looks at what waited, if nothing hinders."""
        if self.phase is HEAD and not self._is_consuming and self.is_writable:
            data, self._rest = self._rest, b""
            self._consume(data)

    # ---- heads ----

    def _take_head(self, data: bytes, at: int, end: int) -> tuple[RequestHead | None, int]:
        """The head at `at`, whose end is `end` (3: not here yet); without one, where to look again."""
        try:
            if end == 3:
                return None, self.reader.take_partial(data, at)
            return self.reader.take(data, at, end)
        except Refused as refusal:
            self.refuse_head(refusal)
            return None, len(data)

    def refuse_head(self, refusal: Refused) -> None:
        """Answers what no endpoint can answer, and ends the connection."""
        self.shared.count_fault(refusal.kind)
        self.write(refusal_bytes(refusal.status, refusal.text))
        self._linger()

    # ---- bodies ----

    def _begin_body(self, request: RequestHead, data: bytes, at: int) -> int:
        """Begins a request whose body is not short or not here; returns how far `data` was taken."""
        self.exchange = exchange = Http1Exchange(self, request)
        self.is_receiving = request.body_bytes != 0
        self.phase = BODY if self.is_receiving else ANSWER
        self._is_body_held = False
        limit = min(self._settings.max_body_bytes, request.endpoint.max_body_bytes)
        if request.body_bytes > limit:
            self.refuse(TooLarge(f"a body has at most {limit} bytes"), "too_large")
            return len(data)
        try:
            incoming = IncomingBody(exchange, limit, self._settings, self._memory, self._clock())
            if exchange.is_open and self.phase is ANSWER:
                incoming.end()
            elif exchange.is_open:
                self.incoming = incoming
        except Exception:
            LOG.exception("an endpoint failed")
            exchange.fail()
        if self.incoming is None:  # without a body, or answered at once
            return at if self.phase in _FLOWING else len(data)
        if at < len(data):
            return self._take_body(data, at)
        if request.expects_continue and not exchange.is_started:
            self.write(CONTINUE)
        return at

    def _take_body(self, data: bytes, at: int) -> int:
        """Feeds the body; returns where it ends in `data`."""
        incoming = self.incoming
        assert incoming is not None
        exchange = incoming.exchange
        try:
            at = incoming.feed(data, at)
            if incoming.is_complete and self.phase is BODY:
                self.phase = ANSWER
                self.incoming = None
                self.is_receiving = False
                incoming.end()
        except Refused as refusal:
            self._refuse_body(refusal, exchange)
        except Exception:
            LOG.exception("an endpoint failed")
            exchange.fail()
        if not self.is_reading:
            self._update_reading()
        return at if self.phase in _FLOWING else len(data)

    def _drop_body(self) -> None:
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            incoming.drop()

    # ---- refusals ----

    def _refuse_body(self, refusal: Refused, exchange: Http1Exchange) -> None:
        """A body turned out malformed or too large on the way."""
        if self.phase is not BODY:
            return  # answered already: nobody wants the rest
        if refusal.status == 413:
            self.refuse(TooLarge(refusal.text), refusal.kind)
        elif exchange.is_started:
            self.shared.count_fault(refusal.kind)
            self.break_off(reset=True)
            exchange.client_gone()
        else:
            self.exchange = None
            exchange.client_gone()
            self.refuse_head(refusal)

    def refuse(self, error: GatewayError, kind: str) -> None:
        """Lets the endpoint phrase why its request goes no further; the connection ends with it."""
        exchange = self.exchange
        assert exchange is not None
        self.shared.count_fault(kind)
        self._drop_body()
        self.is_ending = True
        if exchange.is_started:
            self.break_off(reset=True)
            exchange.client_gone()
            return
        gone, exchange.on_gone = exchange.on_gone, None
        self.phase = LINGER
        try:
            exchange.request.endpoint.refuse(exchange, error)
            if gone is not None:
                gone()
        except Exception:
            LOG.exception("an endpoint failed to refuse a request")
            exchange.fail()

    # ---- answers: called by the exchange ----

    def answered(self, *, keeps: bool) -> None:
        """The current request has its whole answer; on with the next one, or the end."""
        self.exchange = None
        if self.phase is not ANSWER:
            self._linger()
        elif not keeps or self.is_ending:
            self._linger() if self._rest else self.finish()
        else:
            self.phase = HEAD
            if self._rest:
                self._go_on()
            elif self.half_closed_at != inf and not self._is_consuming:
                self.finish()

    def break_off(self, *, reset: bool) -> None:
        """Ends the connection at once, in the middle of whatever it was doing."""
        self._enter_closed()
        if reset:
            self.outgoing.reset_on_close()
        self._transport.abort()

    def hold_body(self, *, is_held: bool) -> None:
        """Stops reading, or goes on, while the current body is under way."""
        self._is_body_held = is_held
        self._update_reading()

    # ---- flow ----

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        exchange = self.exchange
        try:
            self.outgoing.drained()
            if exchange is not None and exchange.on_writable is not None:
                exchange.on_writable()
        except Exception:
            LOG.exception("an endpoint failed")
            if exchange is not None:
                exchange.fail()
        self._go_on()

    def _update_reading(self) -> None:
        if self.phase is CLOSED or self.half_closed_at != inf:
            return
        if self.phase is BODY:
            is_full = self._is_body_held
        else:  # a head that is still coming has its own limit
            is_full = len(self._rest) > MAX_AHEAD_BYTES and not self.reader.is_partial
        if is_full is self.is_reading:
            self.is_reading = not is_full
            (self._transport.pause_reading if is_full else self._transport.resume_reading)()

    # ---- ends ----

    def eof_received(self) -> bool:
        """Keeps the sending half for an answer that is still due; else the transport closes."""
        if self.exchange is None or self.phase is BODY or self._is_tls:
            return False  # nothing due; a body cut short; TLS, which knows no half-closed state
        self.half_closed_at = min(self.half_closed_at, self._clock())
        return True

    def _linger(self) -> None:
        """Our last answer is written: reads on without looking until the client closes, or for a while."""
        self._drop_body()
        if self.half_closed_at != inf:
            self.finish()
            return
        self.phase = LINGER
        self._rest = b""
        self.reader.abandon()
        self.linger_until = self._clock() + LINGER_S
        self._update_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def finish(self) -> None:
        """Closes as soon as everything written is sent."""
        self._enter_closed()
        self._transport.close()

    def _enter_closed(self) -> None:
        self.phase = CLOSED
        self._rest = b""
        self.exchange = None
        self.reader.abandon()
        self._drop_body()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self.exchange
        self._enter_closed()
        self.outgoing.lost()
        if exchange is not None:
            exchange.client_gone()
        if self.on_lost is not None:
            self.on_lost()

    # ---- time and lifecycle: called by the listener ----

    @property
    def is_idle(self) -> bool:
        """True while no byte of a request and no answer is under way."""
        return self.phase is HEAD and self._rest in _NOTHING

    def drain(self) -> None:
        """The next answer is the last; an idle connection closes at once."""
        self.is_ending = True
        if self.is_idle:
            self.finish()

    def close(self) -> None:
        """Must end the connection now, whatever is under way; the endpoint is told."""
        exchange = self.exchange
        self.break_off(reset=False)
        if exchange is not None:
            exchange.client_gone()

    def sweep(self, now: float) -> None:
        """Must be called about twice a second: enforces every deadline."""
        self._upkeep.sweep(self, now)
