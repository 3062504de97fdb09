"""DATA frames: taken apart as they come, without waiting for a frame's end, and given to their stream."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.errors import TooLarge
from gateway.wire.exchange import BodyMemory
from gateway.wire.http2.budgets import Budgets
from gateway.wire.http2.frames import END_STREAM, PADDED, ErrorCode, StreamFault, protocol_error
from gateway.wire.http2.receiving import BodyTooLarge, Inflow, Upload
from gateway.wire.http2.sending import Sender
from gateway.wire.http2.streams import Http2Exchange
from gateway.wire.settings import WireSettings

BreakStream = Callable[[int, ErrorCode], None]


class Intake:
    """The DATA frame a connection is in.

    Invariant: `is_active` == (`_left` + `_padding` bytes of the frame are still to come, or it has
    just begun). Every byte announced to `inflow` is consumed exactly once, wanted or not.
    """

    __slots__ = (
        "_break_stream",
        "_budgets",
        "_ends",
        "_left",
        "_memory",
        "_padding",
        "_sender",
        "_settings",
        "_stream",
        "inflow",
        "is_active",
    )

    def __init__(
        self,
        sender: Sender,
        settings: WireSettings,
        memory: BodyMemory,
        budgets: Budgets,
        break_stream: BreakStream,
    ) -> None:
        self.inflow = Inflow(sender, settings.http2_connection_window)
        self.is_active = False
        self._sender = sender
        self._settings = settings
        self._memory = memory
        self._budgets = budgets
        self._break_stream = break_stream
        self._stream: Http2Exchange | None = None
        self._left = 0
        self._padding = 0
        self._ends = False

    def begin(self, data: bytes, at: int, size: int, flags: int, stream_id: int, *, is_idle: bool) -> int:
        """Starts on a frame whose payload of `size` begins at `at`; returns where to read on."""
        if is_idle:
            raise protocol_error("DATA on an idle stream")
        self.inflow.receive(size)
        overhead = 0
        self._padding = 0
        if flags & PADDED:
            if not size or data[at] >= size:
                raise protocol_error("padding longer than its frame")
            self._padding = data[at]
            overhead = 1 + self._padding
            at += 1
        self._left = size - overhead
        self._ends = bool(flags & END_STREAM)
        self.is_active = True
        if not self._left and not self._ends:
            self._budgets.pay_control(self._sender.now)
        self._stream = self._accept(stream_id, size)
        if overhead:
            self._drop_padding(overhead)
        return self.pump(data, at)

    def _drop_padding(self, size: int) -> None:
        upload = self._stream.upload if self._stream is not None else None
        if upload is not None:
            upload.consume(size)
        else:
            self.inflow.consume(size)

    def _accept(self, stream_id: int, size: int) -> Http2Exchange | None:
        """The stream that wants this frame; None where it is to be dropped."""
        stream = self._sender.streams.get(stream_id)
        if stream is None:
            if not self._sender.was_reset(stream_id):
                self._break_stream(stream_id, ErrorCode.STREAM_CLOSED)
            elif self._ends:
                self._sender.let_go(stream_id)
            return None
        if stream.has_heard:
            self._break_stream(stream_id, ErrorCode.STREAM_CLOSED)
            return None
        if stream.has_said:
            return stream
        stream.is_fresh = False
        try:
            self.upload_of(stream).announce(size, is_last=self._ends)
        except StreamFault as fault:
            self._break_stream(stream_id, fault.code)
            return None
        return stream

    def upload_of(self, stream: Http2Exchange) -> Upload:
        """The stream's upload, which is made where there is none."""
        if stream.upload is None:
            stream.upload = Upload(stream, self.inflow, self._settings, self._memory, self._sender.now)
        return stream.upload

    def pump(self, data: bytes, at: int) -> int:
        """Goes on with the frame; returns where in `data` it ended, or the end of `data`."""
        end = len(data)
        if self._left:
            stop = min(end, at + self._left)
            self._left -= stop - at
            if stop > at:
                self._give(data, at, stop)
            at = stop
            if self._left:
                return at
        if self._padding:
            stop = min(end, at + self._padding)
            self._padding -= stop - at
            at = stop
            if self._padding:
                return at
        self.is_active = False
        stream, self._stream = self._stream, None
        if self._ends and stream is not None:
            self.end(stream)
        return at

    def _give(self, data: bytes, start: int, stop: int) -> None:
        stream = self._stream
        if stream is None or stream.has_said or stream.upload is None:
            self.inflow.consume(stop - start)
            return
        upload = stream.upload
        if self._ends and not self._left:
            upload.expects_more = False
        try:
            upload.feed(data, start, stop, self._sender.now)
        except BodyTooLarge:
            self.inflow.consume(stop - start)
            stream.refuse(TooLarge(f"the body is over the limit of {stream.endpoint.max_body_bytes} bytes"))
        except StreamFault as fault:
            self.inflow.consume(stop - start)
            self._break_stream(stream.id, fault.code)

    def end(self, stream: Http2Exchange) -> None:
        """The request is complete, by its last DATA frame or by trailers."""
        stream.has_heard = True
        stream.is_fresh = False
        if stream.has_said:
            return
        upload = self.upload_of(stream)
        if 0 <= stream.request.content_length != upload.got:
            self._break_stream(stream.id, ErrorCode.PROTOCOL_ERROR)
        elif upload.receiver is not None:
            upload.end()
        else:
            stream.hand_over(*upload.complete())
