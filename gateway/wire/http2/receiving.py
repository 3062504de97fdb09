"""The receiving half: windows we give, and bodies as they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.wire.exchange import BodyMemory, Receiver
from gateway.wire.http2 import frames
from gateway.wire.http2.frames import ConnectionFault, ErrorCode, StreamFault
from gateway.wire.http2.outgoing import safely
from gateway.wire.http2.sending import Sender
from gateway.wire.settings import WireSettings

if TYPE_CHECKING:
    from gateway.wire.http2.streams import Http2Exchange

# A body's frames below this count against `max_chunks`.
_SMALL_FRAME_BYTES = 1024
# So much of a body's beginning is enough for any protocol to tell its size.
_PREFIX_BYTES = 64
# A body's rate is judged from this age on.
_RATE_AFTER_S = 5.0


class BodyTooLarge(Exception):
    """A body, announced or received, over its endpoint's limit."""


class Inflow:
    """A receive window of the connection, given back in steps of half of it.

    Invariant: `taken` + `withheld` <= `limit`: bytes received and not given back, of which `withheld`
    wait for a reader. `stop` == min(`step`, `limit` - `withheld` + 1): a hot frame, taken as it comes,
    needs `top_up` only when `taken` gets there.
    """

    __slots__ = ("_sender", "limit", "step", "stop", "taken", "withheld")

    def __init__(self, sender: Sender, limit: int) -> None:
        self._sender = sender
        self.limit = limit
        self.step = limit // 2
        self.stop = self.step
        self.taken = 0
        self.withheld = 0

    def receive(self, size: int) -> None:
        """Counts a frame's payload; raises ConnectionFault where it did not fit the window."""
        self.withheld += size
        if self.taken + self.withheld > self.limit:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is overrun")
        self.stop = min(self.step, self.limit - self.withheld + 1)

    def consume(self, size: int) -> None:
        """Must be called for each received byte once it needs no memory of ours any more."""
        self.withheld -= size
        self.taken += size
        self.stop = min(self.step, self.limit - self.withheld + 1)
        self._give_back()

    def top_up(self) -> None:
        """Must follow when `taken` was raised to `stop`; raises ConnectionFault as `receive` does."""
        if self.taken + self.withheld > self.limit:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is overrun")
        self._give_back()

    def _give_back(self) -> None:
        # Never raises: a stream's end gives back too, and may be part of the connection's.
        if self.taken >= self.step:
            self._sender.control(frames.window_update(0, self.taken))
            self.taken = 0


class Upload:
    """The body of one request that did not come in one piece, or is read as it comes.

    Invariant: `_outstanding` <= the stream's window: bytes received and not given back.
    """

    __slots__ = (
        "_body",
        "_held",
        "_inflow",
        "_is_sized",
        "_is_told",
        "_lease",
        "_limit",
        "_memory",
        "_outstanding",
        "_settings",
        "_small",
        "_stream",
        "_taken",
        "_view",
        "expects_more",
        "got",
        "has_ended",
        "is_paused",
        "last_at",
        "receiver",
    )

    def __init__(
        self, stream: Http2Exchange, inflow: Inflow, settings: WireSettings, memory: BodyMemory, now: float
    ) -> None:
        endpoint = stream.endpoint
        self.got = 0  # bytes of the body
        self.last_at = now
        self.has_ended = False
        self.expects_more = True  # frames after the present one
        self.is_paused = False
        self.receiver: Receiver | None = None  # None: the body is collected
        self._stream = stream
        self._inflow = inflow
        self._settings = settings
        self._memory = memory
        self._limit = endpoint.max_body_bytes
        self._body: bytes | bytearray = b""
        self._view: memoryview | None = None
        self._lease: Lease | None = None
        self._is_sized = not endpoint.whole
        self._is_told = False
        self._held = bytearray()  # received while the reader had paused
        self._outstanding = 0
        self._taken = 0
        self._small = 0

    def announce(self, size: int, *, is_last: bool) -> None:
        """Counts a DATA frame's payload before it comes; raises StreamFault where it may not come."""
        self._outstanding += size
        if self._outstanding > self._settings.http2_stream_window:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is overrun")
        if size < _SMALL_FRAME_BYTES and self.receiver is None and not is_last:
            self._small += 1
            if self._small > self._settings.max_chunks:
                raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "too many small frames in a body")

    def feed(self, data: bytes, start: int, stop: int, now: float) -> None:
        """Takes `data[start:stop]` as the body's next piece; raises BodyTooLarge, StreamFault."""
        size = stop - start
        self.got += size
        self.last_at = now
        expected = self._stream.request.content_length
        if 0 <= expected < self.got:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "more data than content-length says")
        if self.got > self._limit:
            raise BodyTooLarge
        if self.receiver is None:
            self._collect(data, start, stop)
        elif self.is_paused or self._held:
            self._held += memoryview(data)[start:stop]
        else:
            safely(self.receiver.on_data, data[start:stop])
            self.consume(size)

    def consume(self, size: int) -> None:
        """Gives `size` bytes of window back, in coarse steps, unless no more is to come."""
        self._inflow.consume(size)
        self._taken += size
        if self._taken >= self._settings.http2_stream_window // 2 and self.expects_more:
            self._stream.sender.control(frames.window_update(self._stream.id, self._taken))
            self._outstanding -= self._taken
            self._taken = 0

    # ---- collected bodies -----------------------------------------------------------------------

    def _collect(self, data: bytes, start: int, stop: int) -> None:
        view = self._view
        at = self.got - (stop - start)
        if view is None and not self._is_sized:
            view = self._try_size(data, start, stop)
        if view is not None and self.got <= len(view):
            view[at : self.got] = memoryview(data)[start:stop]
        elif view is not None:
            self._spill(view[:at], data[start:stop])
        elif not at:
            self._body = data[start:stop]
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += memoryview(data)[start:stop]
        self.consume(stop - start)

    def _try_size(self, data: bytes, start: int, stop: int) -> memoryview | None:
        """Takes memory for the whole body as soon as its size is known and large."""
        head = self._stream.request
        size: int | None = head.content_length
        if head.content_length < 0:
            first = self._body[:_PREFIX_BYTES] + data[start : min(stop, start + _PREFIX_BYTES)]
            size = self._stream.endpoint.body_size(head, bytes(first))
        self._is_sized = size is not None or self.got >= _PREFIX_BYTES
        if size is None:
            return None
        if size > self._limit:
            raise BodyTooLarge
        if size < self._settings.shared_body_bytes or size < self.got:
            return None
        allocated = self._memory.allocate(size, self._stream.endpoint.payload_offset(head))
        if allocated is None:
            return None
        self._view, self._lease = allocated
        self._view[: len(self._body)] = self._body
        self._body = b""
        return self._view

    def _spill(self, collected: memoryview, more: bytes) -> None:
        """Goes on in memory of our own: the body is longer than its first bytes said."""
        self._body = bytearray(collected)
        self._body += more
        collected.release()
        self.discard()

    def complete(self) -> tuple[Buffer, Lease | None]:
        """Hands the collected body over, and with it the hold on its memory."""
        if self._view is None:
            return self._body, None
        body, lease = self._view[: self.got], self._lease
        self._view = self._lease = None
        return body, lease

    def discard(self) -> None:
        """Gives the body's memory back; harmless where there is none."""
        self._view = None
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def drop(self) -> None:
        """Forgets everything received: the stream is over."""
        self.discard()
        self._body = b""
        held, self._held = self._held, bytearray()
        if held:
            self._inflow.consume(len(held))

    # ---- read as it comes -----------------------------------------------------------------------

    def end(self) -> None:
        """The body is complete; the reader is told once it has taken all."""
        self.has_ended = True
        self._tell_end()

    def _tell_end(self) -> None:
        if self.has_ended and not self.is_paused and not self._is_told and self.receiver is not None:
            self._is_told = True
            safely(self.receiver.on_end)

    def resume(self) -> None:
        """Goes on, and first hands over what came meanwhile."""
        self.is_paused = False
        held, self._held = self._held, bytearray()
        if held and self.receiver is not None:
            safely(self.receiver.on_data, bytes(held))
            self.consume(len(held))
        self._tell_end()

    def is_overdue(self, now: float, opened_at: float) -> bool:
        """True if the body comes too slowly, or not at all."""
        if self.is_paused:
            return False
        settings = self._settings
        age = now - opened_at
        return (
            now - self.last_at > settings.body_idle_timeout_s
            or age > settings.body_timeout_s
            or (age > _RATE_AFTER_S and self.got < settings.body_min_rate * (age - _RATE_AFTER_S))
        )
