"""The frames that carry no request: SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, PRIORITY, GOAWAY."""

from __future__ import annotations

from collections.abc import Callable

from gateway.wire.http2 import frames
from gateway.wire.http2.blocks import HeaderBlocks
from gateway.wire.http2.budgets import Budgets
from gateway.wire.http2.frames import (
    ACK,
    DEFAULT_MAX_FRAME,
    DEFAULT_TABLE_BYTES,
    DEFAULT_WINDOW,
    MAX_WINDOW,
    WORD,
    ConnectionFault,
    ErrorCode,
    Setting,
    protocol_error,
)
from gateway.wire.http2.intake import BreakStream
from gateway.wire.http2.sending import Sender
from gateway.wire.settings import WireSettings

# The peer's answer to this PING proves that it has seen the GOAWAY sent before it.
DRAIN_PING = b"draining"
# An encoder without a table says so once a block where the peer allows less than the default.
_EMPTY_TABLE = b"\x20"
_MAX_FRAME_SIZE = (1 << 24) - 1


def frame_size_error(text: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, text)


def greeting(settings: WireSettings) -> bytes:
    """What a server says first: its SETTINGS, and the connection's receive window."""
    values = (
        (Setting.HEADER_TABLE_SIZE, settings.http2_header_table_bytes),
        (Setting.MAX_CONCURRENT_STREAMS, settings.http2_max_streams),
        (Setting.INITIAL_WINDOW_SIZE, settings.http2_stream_window),
        (Setting.MAX_FRAME_SIZE, settings.http2_max_frame_size),
        (Setting.MAX_HEADER_LIST_SIZE, settings.max_header_bytes),
        (Setting.NO_RFC7540_PRIORITIES, 1),
    )
    extra = settings.http2_connection_window - DEFAULT_WINDOW
    return frames.settings(values) + (frames.window_update(0, extra) if extra > 0 else b"")


class Control:
    """Follows a connection's control frames; each method raises ConnectionFault.

    `work` counts the streams opened, by which a peer's attendance is judged. `is_leaving`: the peer
    has said GOAWAY. `has_drain_answer`: it has seen ours.
    """

    __slots__ = (
        "_blocks",
        "_break_stream",
        "_budgets",
        "_sender",
        "_table_bytes",
        "has_drain_answer",
        "has_news",
        "is_leaving",
        "work",
    )

    def __init__(
        self,
        sender: Sender,
        blocks: HeaderBlocks,
        budgets: Budgets,
        table_bytes: int,
        break_stream: BreakStream,
    ) -> None:
        self._sender = sender
        self._blocks = blocks
        self._budgets = budgets
        self._table_bytes = table_bytes
        self._break_stream = break_stream
        self.work = 0
        self.is_leaving = False
        self.has_drain_answer = False
        self.has_news = False

    def handlers(self) -> dict[int, Callable[[int, int, bytes, bool], None]]:
        """By frame type: a function of flags, stream id, payload, and whether that stream is idle."""
        return {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
        }

    def unknown(self) -> None:
        """A frame of an extension: ignored, but not for nothing."""
        self._attend()

    def _attend(self) -> None:
        self._budgets.pay_attendance(self._sender.now, self.work + self._sender.pieces_sent)

    def _push_promise(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        raise protocol_error("PUSH_PROMISE from a client")

    def _continuation(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        raise protocol_error("CONTINUATION without a header block")

    def _priority(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        if not stream_id:
            raise protocol_error("PRIORITY on stream 0")
        if len(payload) != 5:
            raise frame_size_error("PRIORITY is not 5 bytes")
        check_dependency(stream_id, payload, 0)
        self._attend()

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        if len(payload) != 4:
            raise frame_size_error("RST_STREAM is not 4 bytes")
        if is_idle:
            raise protocol_error("RST_STREAM on an idle stream")
        stream = self._sender.streams.get(stream_id)
        if stream is None:
            self._sender.let_go(stream_id)
            self._attend()
            return
        now = self._sender.now
        stream.gone()
        self._budgets.pay_reset(now, now - stream.opened_at)

    def _ping(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        if stream_id:
            raise protocol_error("PING on a stream")
        if len(payload) != 8:
            raise frame_size_error("PING is not 8 bytes")
        self._attend()
        if not flags & ACK:
            self._sender.control(frames.ping(ACK, payload))
        elif payload == DRAIN_PING:
            self.has_drain_answer = self.has_news = True

    def _goaway(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        if stream_id:
            raise protocol_error("GOAWAY on a stream")
        if len(payload) < 8:
            raise frame_size_error("GOAWAY is under 8 bytes")
        self._budgets.pay_control(self._sender.now)
        self.is_leaving = self.has_news = True

    def _window_update(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        if len(payload) != 4:
            raise frame_size_error("WINDOW_UPDATE is not 4 bytes")
        self._attend()
        increment = WORD.unpack(payload)[0] & MAX_WINDOW
        if not stream_id:
            if not increment:
                raise protocol_error("a WINDOW_UPDATE of nothing")
            if not self._sender.widen(increment):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window overflows")
            return
        if is_idle:
            raise protocol_error("WINDOW_UPDATE on an idle stream")
        stream = self._sender.streams.get(stream_id)
        if stream is None:
            return
        if not increment:
            self._break_stream(stream_id, ErrorCode.PROTOCOL_ERROR)
        elif stream.window + increment > MAX_WINDOW:
            self._break_stream(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            stream.window += increment
            if stream.out is not None:
                self._sender.submit(stream)

    # ---- SETTINGS -------------------------------------------------------------------------------

    def _settings(self, flags: int, stream_id: int, payload: bytes, is_idle: bool) -> None:
        if stream_id:
            raise protocol_error("SETTINGS on a stream")
        self._budgets.pay_control(self._sender.now)
        if flags & ACK:
            if payload:
                raise frame_size_error("a SETTINGS acknowledgement with a payload")
            self._blocks.limit_table(self._table_bytes)
            return
        # Only the last value of each counts once all are valid; 2,700 of them are one frame's worth.
        for key, value in frames.parse_settings(payload):
            self._check_setting(key, value)
        for key, value in dict(frames.parse_settings(payload)).items():
            self._apply(key, value)
        # The acknowledgement goes first: a client may count on the old values until it comes.
        self._sender.control(frames.SETTINGS_ACK)
        self._sender.flush()

    def _check_setting(self, key: int, value: int) -> None:
        if key == Setting.ENABLE_PUSH and value > 1:
            raise protocol_error("ENABLE_PUSH is not 0 or 1")
        if key == Setting.INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE over 2^31 - 1")
        if key == Setting.MAX_FRAME_SIZE and not DEFAULT_MAX_FRAME <= value <= _MAX_FRAME_SIZE:
            raise protocol_error("MAX_FRAME_SIZE out of range")

    def _apply(self, key: int, value: int) -> None:
        sender = self._sender
        if key == Setting.INITIAL_WINDOW_SIZE:
            if not sender.change_initial_window(value):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflows")
        elif key == Setting.MAX_FRAME_SIZE:
            sender.max_frame = value
        elif key == Setting.HEADER_TABLE_SIZE and value < DEFAULT_TABLE_BYTES:
            sender.block_prefix = _EMPTY_TABLE
            sender.is_fast = False


def check_dependency(stream_id: int, payload: bytes, at: int) -> None:
    """Raises ConnectionFault where the priority at `at` makes a stream depend on itself."""
    if WORD.unpack_from(payload, at)[0] & MAX_WINDOW == stream_id:
        raise protocol_error("a stream depends on itself")
