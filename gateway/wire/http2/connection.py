"""One HTTP/2 connection: the transport's and the listener's calls, and the ends it can come to."""

from __future__ import annotations

import enum
from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.wire.exchange import BodyMemory, Peer, Service
from gateway.wire.half_closed import is_gone
from gateway.wire.http2 import frames
from gateway.wire.http2.blocks import HeaderBlocks
from gateway.wire.http2.budgets import Budgets
from gateway.wire.http2.control import DRAIN_PING, Control, greeting
from gateway.wire.http2.deadlines import Deadlines, Verdict
from gateway.wire.http2.frames import MAX_STREAM_ID, ConnectionFault, ErrorCode, calm_down
from gateway.wire.http2.intake import Intake
from gateway.wire.http2.reception import LAST_ORDINARY_ID, Reception
from gateway.wire.http2.sending import Sender, Transport
from gateway.wire.http2.streams import Http2Exchange
from gateway.wire.settings import WireSettings

HALF_CLOSED_PING = b"gw-still"
# Unsent bytes in the transport until streams stop writing; only its emptiness ends the pause, so that
# buffers of a large answer are given back as soon as the socket has them.
_TRANSPORT_BYTES = 256 << 10


class Phase(enum.IntEnum):
    """A connection's life; it only goes on, never back."""

    OPEN = 0
    WARNED = 1  # GOAWAY without a last stream is out: new streams are still served
    FINAL = 2  # GOAWAY with the last stream is out: new ones are refused, closed when none is left
    CLOSED = 3


class Http2Connection:
    """The protocol of one connection; the listener passes on what its transport says.

    Never raises. The preface must be among the bytes of `data_received`. `sweep` must be called about
    twice a second until `connection_lost`, also after `close`. `call_soon` is the event loop's.
    """

    __slots__ = (
        "_budgets",
        "_clock",
        "_control",
        "_deadlines",
        "_is_half_closed",
        "_phase",
        "_reception",
        "_sender",
        "_transport",
    )

    def __init__(
        self,
        transport: Transport,
        service: Service,
        settings: WireSettings,
        clock: Clock,
        peer: Peer,
        body_memory: BodyMemory,
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._phase = Phase.OPEN
        self._is_half_closed = False  # and answers are owed
        now = clock()
        sender = self._sender = Sender(transport, call_soon, settings.write_buffer_bytes, now)
        sender.on_overrun = self.abort
        budgets = self._budgets = Budgets(settings, now)
        blocks = HeaderBlocks(service, settings)
        broken = self._break_stream
        intake = Intake(sender, settings, body_memory, budgets, broken)
        self._control = Control(sender, blocks, budgets, settings.http2_header_table_bytes, broken)
        self._reception = Reception(
            sender, blocks, self._control, intake, budgets, settings, peer=peer, break_stream=broken
        )
        self._deadlines = Deadlines(settings, now)
        transport.set_write_buffer_limits(high=_TRANSPORT_BYTES, low=0)
        sender.control(greeting(settings))

    # ---- from the transport ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Follows whatever came."""
        sender = self._sender
        if sender.is_closed:
            return
        sender.now = self._clock()
        try:
            self._reception.receive(data)
        except ConnectionFault as fault:
            self._fail(fault.code, fault.text)
        if sender.has_unwritten:
            sender.settle_written()
        if self._control.has_news or self._reception.last_id > LAST_ORDINARY_ID:
            self._follow_news()

    def eof_received(self) -> bool:
        """The client will send no more; True keeps the transport open for answers still owed.

        The end of a client that was killed looks the same, but its kernel answers the PING by a reset.
        """
        if self._phase is Phase.CLOSED:
            return False
        self._sender.now = self._clock()
        for stream in list(self._sender.streams.values()):
            if not stream.has_heard:
                stream.gone()
        self._is_half_closed = True
        if self._close_when_empty():
            return False
        self._sender.control(frames.ping(0, HALF_CLOSED_PING))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, and everything with it."""
        self._end()
        self._sender.lose()

    def pause_writing(self) -> None:
        """The transport has enough."""
        self._sender.pause()

    def resume_writing(self) -> None:
        """The transport has handed everything to the socket."""
        self._sender.now = self._clock()
        self._sender.resume()

    # ---- from the listener ----------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """True while no request is open."""
        return not self._sender.streams

    @property
    def streams(self) -> dict[int, Http2Exchange]:
        """The open requests by stream id; not to be changed."""
        return self._sender.streams

    def sweep(self, now: float) -> None:
        """Keeps the deadlines."""
        sender = self._sender
        sender.now = now
        sender.settle_written()
        verdict = self._deadlines.judge(now, sender, self._reception, self._control.work)
        if verdict is Verdict.ABORT or (self._is_half_closed and is_gone(self._transport)):
            self.abort()
        elif verdict is Verdict.TOO_SLOW:
            fault = calm_down("a request's head was not received in time")
            self._fail(fault.code, fault.text)
        elif verdict is Verdict.DRAIN:
            self.drain()
        elif verdict is Verdict.CALL_LAST:
            self._call_last()
        elif verdict is Verdict.CLOSE:
            self._transport.close()
        if not sender.is_closed:
            self._deadlines.sweep(now, sender)

    def drain(self) -> None:
        """Lets the client go: open requests finish, then the connection closes.

        Two GOAWAYs (RFC 9113 §6.8): the first has no last stream, since requests may be under way;
        the second, a round trip later, names it.
        """
        if self._phase is not Phase.OPEN:
            return
        if not self._reception.has_greeted:
            self._close()
            return
        self._phase = Phase.WARNED
        self._deadlines.warned_at = self._sender.now
        self._sender.control(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self._sender.control(frames.ping(0, DRAIN_PING))

    def close(self) -> None:
        """Closes at once; open requests are gone."""
        self._fail(ErrorCode.NO_ERROR, "")
        self._transport.close()

    def abort(self) -> None:
        """Closes without another word, to a peer that does not listen anyway."""
        self._end()
        self._transport.abort()

    # ---- ends -----------------------------------------------------------------------------------

    def _follow_news(self) -> None:
        if self._phase is Phase.WARNED and self._control.has_drain_answer:
            self._call_last()
        if self._control.is_leaving:
            self._close_when_empty()
        if self._reception.last_id > LAST_ORDINARY_ID:
            self.drain()
        self._control.has_news = False

    def _call_last(self) -> None:
        if self._phase is Phase.WARNED:
            self._phase = Phase.FINAL
            self._reception.room = 0
            self._sender.control(frames.goaway(self._reception.last_id, ErrorCode.NO_ERROR))
            self._close_when_empty()

    def _close_when_empty(self) -> bool:
        """Closes now, or else when the last stream is over; True if now."""
        self._sender.on_empty = self._close
        if not self._sender.streams:
            self._close()
        return self._phase is Phase.CLOSED

    def _fail(self, code: ErrorCode, text: str) -> None:
        if self._phase is not Phase.CLOSED:
            self._sender.control(frames.goaway(self._reception.last_id, code, text))
            self._close()
            if code is ErrorCode.ENHANCE_YOUR_CALM:
                self._transport.close()  # a flood is not read on

    def _close(self) -> None:
        """Ends everything but what the transport holds; the sweep aborts a peer that does not take it.

        Our half ends first: the client closes, or the sweep does (`half_closed.LINGER_S` says why).
        """
        if self._phase is not Phase.CLOSED:
            self._end()
            if self._is_half_closed or not self._transport.can_write_eof():  # TLS has its own farewell
                self._transport.close()
            else:
                self._deadlines.ended_at = self._sender.now
                self._transport.write_eof()

    def _end(self) -> None:
        if self._phase is not Phase.CLOSED:
            self._phase = Phase.CLOSED
            self._reception.room = 0
            self._sender.close()
            for stream in list(self._sender.streams.values()):
                stream.gone()

    def _break_stream(self, stream_id: int, code: ErrorCode) -> None:
        """Ends one stream for an error of its own, which costs the client as a reset of its own does."""
        self._sender.reset(stream_id, code)
        stream = self._sender.streams.get(stream_id)
        if stream is not None:
            stream.gone()
        self._budgets.pay_reset(self._sender.now)
