"""Bytes to frames to requests: the receive loop, and the header blocks that open streams."""

from __future__ import annotations

import logging

from gateway.core.errors import TooLarge
from gateway.wire.exchange import Peer
from gateway.wire.http2 import frames
from gateway.wire.http2.blocks import HeaderBlocks
from gateway.wire.http2.budgets import Budgets
from gateway.wire.http2.control import Control, check_dependency, frame_size_error
from gateway.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADER_BYTES,
    HEADERS,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PADDED,
    PREFACE,
    PRIORITISED,
    SETTINGS,
    WINDOW_UPDATE,
    WORD,
    ErrorCode,
    StreamFault,
    calm_down,
    protocol_error,
)
from gateway.wire.http2.heads import HeadersTooLarge, Http2Head
from gateway.wire.http2.intake import BreakStream, Intake
from gateway.wire.http2.sending import Sender
from gateway.wire.http2.streams import Http2Exchange
from gateway.wire.settings import WireSettings

# From this id on a connection is drained, so that its last streams are not its client's surprise.
LAST_ORDINARY_ID = MAX_STREAM_ID - (1 << 16)
_TOO_LARGE = ((b":status", b"431"), (b"content-length", b"0"))
_GREETED_BYTES = len(PREFACE) + HEADER_BYTES
# The longest of the frames that are read whole: more than any control frame of honest use has.
_LEAST_WHOLE_BYTES = 16 << 10
_PRIORITY_BYTES = 5

_logger = logging.getLogger(__name__)


class Reception:
    """The receiving side of one connection; raises ConnectionFault where that cannot go on.

    Invariant: `_missing` == 0, or the bytes in `_stash` mean nothing before there are that many.
    """

    __slots__ = (
        "_blocks",
        "_break_stream",
        "_budgets",
        "_control",
        "_handlers",
        "_hot_bytes",
        "_intake",
        "_max_frame",
        "_max_whole",
        "_missing",
        "_peer",
        "_sender",
        "_stash",
        "has_greeted",
        "last_id",
        "room",
        "waiting_since",
    )

    # Its collaborators are as many as there are kinds of frames; all are made in one place.
    def __init__(  # ruff: ignore[too-many-arguments]
        self,
        sender: Sender,
        blocks: HeaderBlocks,
        control: Control,
        intake: Intake,
        budgets: Budgets,
        settings: WireSettings,
        *,
        peer: Peer,
        break_stream: BreakStream,
    ) -> None:
        self._sender = sender
        self._blocks = blocks
        self._control = control
        self._intake = intake
        self._budgets = budgets
        self._peer = peer
        self._break_stream = break_stream
        self._handlers = control.handlers()
        self._max_frame = settings.http2_max_frame_size
        self._max_whole = max(_LEAST_WHOLE_BYTES, blocks.max_block_bytes)
        # Frames below this are within every limit; such a body needs no window and no shared memory.
        self._hot_bytes = min(
            settings.shared_body_bytes, settings.http2_stream_window, self._max_frame, self._max_whole
        )
        self._stash = bytearray()
        self._missing = _GREETED_BYTES
        self.has_greeted = False
        self.last_id = 0  # the highest stream id a client has used
        self.room = settings.http2_max_streams  # streams that may be open; 0: no new one is welcome
        # Since when the rest of the preface, a header block or a control frame has been awaited.
        self.waiting_since: float | None = sender.now

    # The hot loop is one function by measurement: a unary gRPC call costs 2.6 us here, answer included,
    # and 4.8 times as much where each of its frames goes through the methods below.
    def receive(self, data: bytes) -> None:  # ruff: ignore[complex-structure, too-many-statements] see above
        """Follows whatever came: frames, pieces of frames, or many of them."""
        if self._missing:
            data = self._join(data)
        intake = self._intake
        at = intake.pump(data, 0) if intake.is_active else 0
        end = len(data)
        sender, blocks, control, inflow = self._sender, self._blocks, self._control, intake.inflow
        streams, heads, unpack = sender.streams, blocks.heads, HEADER.unpack_from
        hot_bytes = 0 if blocks.open_id else self._hot_bytes
        while at + 9 <= end:
            word, flags, stream_id = unpack(data, at)
            start = at + 9
            at = start + (word >> 8)
            kind = word & 0xFF
            if at > end or not hot_bytes:
                pass
            elif kind == DATA:
                stream = streams.get(stream_id)
                if stream is not None and stream.is_fresh and flags == END_STREAM and at - start < hot_bytes:
                    inflow.taken += at - start
                    if inflow.taken >= inflow.stop:
                        inflow.top_up()
                    stream.is_fresh = False
                    stream.has_heard = stream.is_quick = True
                    try:
                        stream.endpoint.handle(stream, data[start:at], None)
                    except Exception:
                        _logger.exception("an endpoint failed to handle a request")
                        stream.abort()
                    continue
            elif kind == HEADERS:
                if (
                    (flags == END_HEADERS or flags == END_HEADERS | END_STREAM)
                    and self.last_id < stream_id < LAST_ORDINARY_ID
                    and stream_id & 1
                    and len(streams) < self.room
                    and at - start < hot_bytes
                ):
                    block = data[start:at]
                    head = heads.get(block)
                    if head is None or not head.is_plain or flags != END_HEADERS:
                        self._request(stream_id, block, head, ends_stream=flags != END_HEADERS)
                        continue
                    self.last_id = stream_id
                    control.work += 1
                    stream = streams[stream_id] = Http2Exchange(sender, self._peer, stream_id, head)
                    stream.is_fresh = True
                    continue
            elif kind == WINDOW_UPDATE and at - start == 4 and self._widen(data, start, stream_id):
                continue
            at = self._frame(data, start, at, kind, flags, stream_id & MAX_STREAM_ID)
            if at < 0 or sender.is_closed:
                return
            hot_bytes = 0 if blocks.open_id else self._hot_bytes
        if at < end:
            self._await(data, at, HEADER_BYTES)

    def _widen(self, data: bytes, at: int, stream_id: int) -> bool:
        """Follows a WINDOW_UPDATE that lets nothing go, as grpcio sends two with every call."""
        increment = WORD.unpack_from(data, at)[0]
        sender = self._sender
        stream = sender.streams.get(stream_id)
        if stream is not None:
            if stream.out is not None or not 0 < increment <= MAX_WINDOW - stream.window:
                return False
            stream.window += increment
        else:
            if stream_id or sender.is_waiting or not 0 < increment <= MAX_WINDOW - sender.window:
                return False
            sender.window += increment
        self._budgets.pay_attendance(sender.now, self._control.work + sender.pieces_sent)
        return True

    # ---- frames not yet whole --------------------------------------------------------------------

    def _await(self, data: bytes, at: int, size: int) -> None:
        """Keeps what is there of something that takes `size` bytes from `at` on."""
        self._stash += memoryview(data)[at:]
        self._missing = size
        if self.waiting_since is None:
            self.waiting_since = self._sender.now

    def _join(self, data: bytes) -> bytes:
        """What was kept and `data`, once that is enough; else nothing. Each byte is copied twice."""
        stash = self._stash
        stash += data
        if not self.has_greeted:
            self._greet()
        if len(stash) < self._missing:
            return b""
        whole = bytes(stash)
        stash.clear()
        self._missing = 0
        if not self._blocks.open_id:
            self.waiting_since = None
        if self.has_greeted:
            return whole
        self.has_greeted = True
        return whole[len(PREFACE) :]

    def _greet(self) -> None:
        """Raises ConnectionFault as soon as this cannot be the preface and SETTINGS any more."""
        stash = self._stash
        if not PREFACE.startswith(stash[: len(PREFACE)]):
            raise protocol_error("no HTTP/2 preface")
        if len(stash) >= _GREETED_BYTES:
            word, flags, _ = HEADER.unpack_from(stash, len(PREFACE))
            if word & 0xFF != SETTINGS or flags & ACK:
                raise protocol_error("the first frame is not SETTINGS")

    # ---- frames off the hot path -----------------------------------------------------------------

    def _frame(self, data: bytes, start: int, stop: int, kind: int, flags: int, stream_id: int) -> int:
        """Follows one frame; returns where to read on, -1 where the frame must be awaited."""
        size = stop - start
        self._check_size(size, kind)
        open_id = self._blocks.open_id
        if open_id and (kind != CONTINUATION or stream_id != open_id):
            raise protocol_error("a header block is interrupted")
        if kind == DATA and not (flags & PADDED and size and start == len(data)):
            is_idle = stream_id > self.last_id or not stream_id & 1
            return self._intake.begin(data, start, size, flags, stream_id, is_idle=is_idle)
        if stop > len(data):
            whole = start + 1 if kind == DATA else stop
            self._await(data, start - HEADER_BYTES, whole - start + HEADER_BYTES)
            return -1
        self._whole(kind, flags, stream_id, data[start:stop])
        return stop

    def _check_size(self, size: int, kind: int) -> None:
        if size > self._max_frame:
            raise frame_size_error("a frame over our MAX_FRAME_SIZE")
        if size > self._max_whole and kind != DATA:
            raise calm_down("a header or control frame of too many bytes")

    def _whole(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == CONTINUATION and self._blocks.open_id:
            self._blocks.go_on(payload)
            if flags & END_HEADERS:
                self.waiting_since = None
                block, ends_stream = self._blocks.complete()
                self._block(stream_id, block, ends_stream=ends_stream)
        elif (handler := self._handlers.get(kind)) is not None:
            handler(flags, stream_id, payload, stream_id > self.last_id or not stream_id & 1)
        else:
            self._control.unknown()

    # ---- header blocks ---------------------------------------------------------------------------

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise protocol_error("HEADERS on stream 0 or one of a server's")
        start, stop = 0, len(payload)
        if flags & PADDED:
            if not payload:
                raise frame_size_error("a padded frame without a length")
            start, stop = 1, stop - payload[0]
        if flags & PRIORITISED:
            if stop - start < _PRIORITY_BYTES:
                raise frame_size_error("HEADERS is too short for its priority")
            check_dependency(stream_id, payload, start)
            start += _PRIORITY_BYTES
        if start > stop:
            raise protocol_error("padding longer than its frame")
        if flags & END_HEADERS:
            self._block(stream_id, payload[start:stop], ends_stream=bool(flags & END_STREAM))
            return
        self._blocks.begin(stream_id, payload[start:stop], ends_stream=bool(flags & END_STREAM))
        self.waiting_since = self._sender.now

    def _block(self, stream_id: int, block: bytes, *, ends_stream: bool) -> None:
        """Follows a complete header block: a request's, its trailers, or one that nobody wants."""
        stream = self._sender.streams.get(stream_id)
        if stream is not None:
            self._trailers(stream, block, ends_stream=ends_stream)
        elif stream_id > self.last_id:
            self._request(stream_id, block, None, ends_stream=ends_stream)
        elif self._sender.was_reset(stream_id):
            self._blocks.follow(block)
            self._sender.let_go(stream_id)
        else:
            raise frames.ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")

    def _trailers(self, stream: Http2Exchange, block: bytes, *, ends_stream: bool) -> None:
        if stream.has_heard:
            raise frames.ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS after the end of a request")
        try:
            self._blocks.read_trailers(block)
        except StreamFault as fault:
            self._break_stream(stream.id, fault.code)
            return
        if ends_stream:
            self._intake.end(stream)
        else:
            self._break_stream(stream.id, ErrorCode.PROTOCOL_ERROR)

    def _request(self, stream_id: int, block: bytes, head: Http2Head | None, *, ends_stream: bool) -> None:
        """Opens a stream for a request; `head` is given where its block is known."""
        self.last_id = stream_id
        self._control.work += 1
        if len(self._sender.streams) >= self.room:
            self._blocks.follow(block)
            self._sender.reset(stream_id, ErrorCode.REFUSED_STREAM)
            self._budgets.pay_refusal(self._sender.now)
            return
        if head is None:
            try:
                head = self._blocks.read(block)
            except HeadersTooLarge:
                self._answer_too_large(stream_id, ends_stream=ends_stream)
                return
            except StreamFault as fault:
                self._break_stream(stream_id, fault.code)
                return
        stream = Http2Exchange(self._sender, self._peer, stream_id, head)
        self._sender.streams[stream_id] = stream
        self._begin(stream, ends_stream=ends_stream)

    def _answer_too_large(self, stream_id: int, *, ends_stream: bool) -> None:
        self._sender.answer(stream_id, _TOO_LARGE)
        if not ends_stream:
            self._sender.linger(stream_id)
        self._budgets.pay_refusal(self._sender.now)

    # ---- requests --------------------------------------------------------------------------------

    def _begin(self, stream: Http2Exchange, *, ends_stream: bool) -> None:
        """Starts on a request whose head is known, as its endpoint wants it."""
        endpoint, announced = stream.endpoint, stream.request.content_length
        if announced > endpoint.max_body_bytes and not ends_stream:
            stream.refuse(TooLarge(f"the body is over the limit of {endpoint.max_body_bytes} bytes"))
            return
        if not endpoint.whole:
            self._open(stream)
        elif not ends_stream:
            stream.is_fresh = stream.request.is_plain
        if ends_stream:
            self._intake.end(stream)

    def _open(self, stream: Http2Exchange) -> None:
        upload = self._intake.upload_of(stream)
        try:
            upload.receiver = stream.endpoint.open(stream)
        except Exception:
            _logger.exception("an endpoint failed to open a request")
            stream.abort()
