"""The sending half of a connection: windows, queues, fairness, and what is still unsent.

DESIGN: an answer that fits the windows goes to the transport at once and never meets a queue
(`streams.Http2Exchange.respond`). The others queue on their stream, as views of the caller's buffers,
and `flush` gives each stream in turn one DATA frame. What a streamed answer writes is flushed at the
end of the loop's turn: sixteen small messages then cost one frame and one system call. A stream is in
`_ready` if it could send now, in `_waiting` if only the connection's window stops it, in neither if
its own window does. While the transport is paused nothing of a stream leaves, not even its head: so a
client that reads nothing holds its streams open and cannot open more than it is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gateway.core.tensor import Buffer
from gateway.wire.exchange import Headers
from gateway.wire.http2 import frames, responses
from gateway.wire.http2.frames import DATA, END_STREAM, HEADER, MAX_WINDOW, ErrorCode
from gateway.wire.http2.outgoing import Notice, Outgoing, safely

if TYPE_CHECKING:
    from gateway.wire.http2.streams import Http2Exchange

# A turn of one stream while others wait: long enough that the frame header does not matter, short
# enough that a small answer behind a 16 MiB one waits for 64 KiB only.
_TURN_BYTES = 64 << 10
# Handed to the transport in one call, before asking whether it wants more.
_BATCH_BYTES = 256 << 10
# Control frames (acks, resets, window updates) that may lie unsent because the peer does not read.
_MAX_UNSENT_CONTROL = 64 << 10
# Streams reset by us whose peer may not know yet: their frames are dropped, not punished.
_MAX_REMEMBERED_RESETS = 1024
# Streams whose requests go on after their answers, and for how long they may.
_MAX_LINGERING = 256
_LINGER_S = 0.5
# What a stream's queue may always hold before its writer is told to wait.
_LEAST_QUEUE_BYTES = 64 << 10
# Up to here a copy costs less than a scatter list of many pieces.
_JOINED_BYTES = 64 << 10


class Transport(Protocol):
    """What this package needs of an asyncio or uvloop transport."""

    def write(self, data: bytes) -> None: ...

    def writelines(self, list_of_data: Sequence[Buffer]) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def can_write_eof(self) -> bool: ...

    def write_eof(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> Any: ...


class Sender:
    """One connection's sending half; owns what may be written and when.

    Invariant: `is_fast` == not (paused or closed or the peer has an odd table size): then an answer
    may go straight to the transport, for whatever was ready before it has been sent, or is of streamed
    answers and is sent in this turn of the loop.
    """

    __slots__ = (
        "_call_soon",
        "_is_asked",
        "_is_flush_due",
        "_lingering",
        "_ready",
        "_remembered",
        "_unsent_control",
        "_unwritten",
        "_waiting",
        "block_prefix",
        "initial_window",
        "is_closed",
        "is_fast",
        "is_paused",
        "limit",
        "max_frame",
        "now",
        "on_empty",
        "on_overrun",
        "pieces_sent",
        "streams",
        "transport",
        "window",
        "write",
    )

    def __init__(
        self, transport: Transport, call_soon: Callable[[Notice], object], limit: int, now: float
    ) -> None:
        self.transport = transport
        self.write = transport.write
        self.limit = limit  # of unsent bytes in all queues together, until writers pause
        self.streams: dict[int, Http2Exchange] = {}
        self.window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        self.max_frame = frames.DEFAULT_MAX_FRAME
        self.block_prefix = b""
        self.is_fast = True
        self.is_paused = False
        self.is_closed = False
        self.now = now  # when the connection was last called
        # Buffers, or parts of one, sent by `flush`; what a peer's window updates are measured by.
        self.pieces_sent = 0
        self.on_empty: Notice | None = None  # called when no stream is left
        self.on_overrun: Notice | None = None  # called when the peer reads too little for its questions
        self._call_soon = call_soon
        self._is_asked = False
        self._is_flush_due = False
        self._ready: dict[Http2Exchange, None] = {}
        self._waiting: dict[Http2Exchange, None] = {}
        self._remembered: dict[int, None] = {}
        self._lingering: dict[int, float] = {}
        self._unwritten: list[Notice] = []
        self._unsent_control = 0

    # ---- frames of no stream's queue -----------------------------------------------------------

    def control(self, frame: bytes) -> None:
        """Sends a control frame at once, and overtakes what is queued."""
        if self.is_closed:
            return
        self.write(frame)
        if self.is_paused:
            self._unsent_control += len(frame)
            if self._unsent_control > _MAX_UNSENT_CONTROL and self.on_overrun is not None:
                self.on_overrun()

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Sends RST_STREAM, and remembers that the peer may be late to know."""
        self.control(frames.rst_stream(stream_id, code))
        self._lingering.pop(stream_id, None)
        self._remember(stream_id)

    def _remember(self, stream_id: int) -> None:
        remembered = self._remembered
        remembered[stream_id] = None
        if len(remembered) > _MAX_REMEMBERED_RESETS:
            del remembered[next(iter(remembered))]

    def linger(self, stream_id: int) -> None:
        """Must be called for a stream whose answer is complete and whose request is not.

        RFC 9113 §8.1 lets a server reset it with NO_ERROR at once, but curl before 8 then loses the
        answer. So what still comes is dropped for a moment; most clients stop by themselves.
        """
        self._remember(stream_id)
        self._lingering[stream_id] = self.now
        if len(self._lingering) > _MAX_LINGERING:
            self.reset(next(iter(self._lingering)), ErrorCode.NO_ERROR)

    def let_go(self, stream_id: int) -> None:
        """The client has ended its side of a stream that may be lingering."""
        self._lingering.pop(stream_id, None)

    def stop_lingering(self) -> None:
        """Resets those that have gone on for long enough."""
        for stream_id, since in list(self._lingering.items()):
            if self.now - since >= _LINGER_S:
                self.reset(stream_id, ErrorCode.NO_ERROR)

    def was_reset(self, stream_id: int) -> bool:
        return stream_id in self._remembered

    def answer(self, stream_id: int, fields: Headers) -> None:
        """Sends an answer without a body to a stream that was never opened here."""
        self.control(self._block(stream_id, responses.encode(fields), end_stream=True))

    @property
    def is_waiting(self) -> bool:
        """True if a stream could send but for the connection's window."""
        return bool(self._waiting)

    @property
    def has_unwritten(self) -> bool:
        """True if somebody waits to be told that the transport needs its buffers no more."""
        return bool(self._unwritten)

    # ---- streams --------------------------------------------------------------------------------

    def forget(self, stream: Http2Exchange) -> None:
        """Must be called once a stream is over on both sides, or broken."""
        self.streams.pop(stream.id, None)
        self._ready.pop(stream, None)
        self._waiting.pop(stream, None)
        if self.on_empty is not None and not self.streams:
            self.on_empty()

    def submit(self, stream: Http2Exchange) -> None:
        """Takes note that `stream` has something to send."""
        if not self.is_closed:
            self._ready[stream] = None
            self.flush()

    def submit_soon(self, stream: Http2Exchange) -> None:
        """As `submit`, together with what else comes in this turn of the loop."""
        if not self.is_closed:
            self._ready[stream] = None
            if not self._is_flush_due:
                self._is_flush_due = True
                self._call_soon(self._flush_due)

    def _flush_due(self) -> None:
        self._is_flush_due = False
        self.flush()

    def is_writable(self, out: Outgoing | None) -> bool:
        return out is None or out.size <= self._share()

    def _share(self) -> int:
        """Bytes a stream may have queued: a part of the limit, so that a stuck one cannot stop all."""
        return max(_LEAST_QUEUE_BYTES, self.limit // max(1, len(self.streams)))

    # ---- windows --------------------------------------------------------------------------------

    def widen(self, increment: int) -> bool:
        """Follows a WINDOW_UPDATE of the connection; False where the window would overflow."""
        if self.window + increment > MAX_WINDOW:
            return False
        self.window += increment
        if self._waiting:
            self._ready.update(self._waiting)
            self._waiting.clear()
            self.flush()
        return True

    def change_initial_window(self, size: int) -> bool:
        """Follows SETTINGS_INITIAL_WINDOW_SIZE; `flush` must follow; False where a window would overflow."""
        change = size - self.initial_window
        self.initial_window = size
        for stream in self.streams.values():
            stream.window += change
            if stream.window > MAX_WINDOW:
                return False
            if stream.out is not None and change > 0:
                self._ready[stream] = None
        return True

    # ---- the queue ------------------------------------------------------------------------------

    def flush(self) -> None:
        """Sends what windows and transport allow, each ready stream in turn."""
        if self.is_paused or self.is_closed or not self._ready:
            return
        touched: dict[Http2Exchange, None] = {}
        while self._ready and not self.is_paused and not self.is_closed:
            parts: list[Buffer] = []
            size = 0
            while self._ready and size < _BATCH_BYTES:
                stream = next(iter(self._ready))
                del self._ready[stream]
                size += self._turn(stream, parts)
                touched[stream] = None
            if size <= _JOINED_BYTES and parts:
                self.write(b"".join(parts))
            elif parts:
                self.transport.writelines(parts)
        # Only now, for what follows an answer must not overtake it: a reset, a close, the next answer.
        for stream in touched:
            self._follow(stream)
        self.settle()

    def _turn(self, stream: Http2Exchange, parts: list[Buffer]) -> int:
        """Moves one turn of `stream` to `parts`; returns its bytes."""
        out = stream.out
        if out is None:
            return 0
        sent = self._open(stream, out, parts)
        if out.size:
            sent += self._data(stream, out, parts)
        if out.size:
            if stream.window > 0:
                (self._ready if self.window > 0 else self._waiting)[stream] = None
        elif out.ended and not out.is_closed:
            out.is_closed = True
            if out.tail is None:
                parts.append(HEADER.pack(DATA, END_STREAM, stream.id))
            else:
                parts.append(self._block(stream.id, out.tail, end_stream=True))
        return sent

    def _follow(self, stream: Http2Exchange) -> None:
        """Ends a stream whose answer is out, or tells a writer that it may go on."""
        out = stream.out
        if out is None:
            return
        if out.is_closed:
            if out.on_written is not None:
                self._unwritten.append(out.on_written)
            stream.finished()
        elif out.is_full and out.size <= self._share() // 2:
            out.is_full = False
            if stream.on_writable is not None:
                safely(stream.on_writable)

    def _open(self, stream: Http2Exchange, out: Outgoing, parts: list[Buffer]) -> int:
        if out.head is None:
            return 0
        parts.append(self._block(stream.id, out.head, end_stream=False))
        size = len(out.head)
        out.head = None
        return size

    def _block(self, stream_id: int, block: bytes, *, end_stream: bool) -> bytes:
        return frames.header_block(
            stream_id, self.block_prefix + block, end_stream=end_stream, max_frame=self.max_frame
        )

    def _data(self, stream: Http2Exchange, out: Outgoing, parts: list[Buffer]) -> int:
        """Moves one DATA frame to `parts`, as long as windows and fairness allow; returns its bytes."""
        size = min(out.size, stream.window, self.window, self.max_frame, _TURN_BYTES)
        if size <= 0:
            return 0
        stream.window -= size
        self.window -= size
        out.is_closed = size == out.size and out.ended and out.tail is None
        parts.append(HEADER.pack(size << 8 | DATA, END_STREAM if out.is_closed else 0, stream.id))
        before = len(parts)
        out.take(size, parts)
        self.pieces_sent += len(parts) - before
        return size

    # ---- the transport --------------------------------------------------------------------------

    def pause(self) -> None:
        self.is_paused = True
        self.is_fast = False

    def resume(self) -> None:
        self.is_paused = False
        self.is_fast = not self.is_closed and not self.block_prefix
        self._unsent_control = 0
        self.settle()
        self.flush()

    def settle(self) -> None:
        """Tells those whose buffers the transport does not hold any more."""
        if self._unwritten and self.transport.get_write_buffer_size() == 0:
            self._tell()
        elif self._unwritten and not self._is_asked:
            # uvloop writes after the first of these two calls and before the second. What the socket did
            # not take then is settled by `resume`, the next call from the transport, or the sweep.
            self._is_asked = True
            self._call_soon(self._settle_next)

    def _settle_next(self) -> None:
        self._call_soon(self.settle_written)

    def settle_written(self) -> None:
        """As `settle`, and does not ask to be called again."""
        self._is_asked = False
        if self._unwritten and self.transport.get_write_buffer_size() == 0:
            self._tell()

    def release(self, notice: Notice) -> None:
        """Calls `notice` once the transport has nothing left of what it was given so far."""
        self._unwritten.append(notice)
        self.settle()

    def lose(self) -> None:
        """The transport is gone, with all that it held."""
        self._tell()

    def _tell(self) -> None:
        notices, self._unwritten = self._unwritten, []
        for notice in notices:
            safely(notice)

    def close(self) -> None:
        """Sends nothing more; what the transport holds is its own affair."""
        self.is_closed = True
        self.is_fast = False
        self._ready.clear()
        self._waiting.clear()
        self.on_empty = None

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert self.is_fast == (not self.is_paused and not self.is_closed and not self.block_prefix)
        assert self.is_paused or self._is_flush_due or not self._ready
        for stream in self.streams.values():
            out = stream.out
            assert out is None or out.size == sum(map(len, out.chunks))
