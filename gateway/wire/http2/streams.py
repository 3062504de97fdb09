"""One HTTP/2 request: its Exchange, which is also the connection's record of the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.core.caller import ANYBODY
from gateway.core.errors import GatewayError
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.wire.exchange import Endpoint, Exchange, Headers, Peer
from gateway.wire.http2 import responses
from gateway.wire.http2.frames import DATA, HEADER, ErrorCode
from gateway.wire.http2.heads import Http2Head
from gateway.wire.http2.outgoing import Outgoing, safely
from gateway.wire.http2.sending import Sender

if TYPE_CHECKING:
    from gateway.wire.http2.receiving import Upload

# Up to this size a body is joined with its headers into one write: by the queue, an answer of 100
# bytes costs three times as much. The size is also what a peer must at least take as one frame.
_JOINED_BYTES: Final = 16 << 10
_BODILESS = frozenset((204, 304))

_pack: Final = HEADER.pack
_blocks: Final = responses.known_heads
_tails: Final = responses.known_tails


class Http2Exchange(Exchange):
    """One stream, from its HEADERS to its end on both sides.

    `is_fresh`: whole and plain endpoint, and nothing of the body has come.
    `is_quick`: the request has been handed over whole, and nothing has been answered.
    `has_heard`: the request is complete. `has_said`: the caller's answer is complete (or broken off).
    Invariant: `out` is not None while something of the answer waits to be sent, or may be added.
    """

    __slots__ = (
        "endpoint",
        "has_heard",
        "has_said",
        "id",
        "is_fresh",
        "is_quick",
        "opened_at",
        "out",
        "request",
        "sender",
        "upload",
        "window",
    )

    def __init__(self, sender: Sender, peer: Peer, stream_id: int, head: Http2Head) -> None:
        self.head = self.request = head
        self.peer = peer
        self.caller = ANYBODY
        self.on_gone = None
        self.on_writable = None
        self.sender = sender
        self.id = stream_id
        self.endpoint: Endpoint = head.routed
        self.window = sender.initial_window
        self.opened_at = sender.now
        self.upload: Upload | None = None
        self.out: Outgoing | None = None
        self.is_fresh = False
        self.is_quick = False
        self.has_heard = False
        self.has_said = False

    # ---- answering at once ----------------------------------------------------------------------

    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        """Sends a whole answer; one write where everything is at hand and fits."""
        sender = self.sender
        if trailers and self.is_quick and sender.is_fast:
            first = _blocks.get((status, headers))
            last = _tails.get(trailers)
            if body.__class__ is tuple:
                size = sum(map(len, body))
                if size <= _JOINED_BYTES:
                    body = b"".join(body)
            else:
                size = len(body)
            if (
                first is not None
                and last is not None
                and 0 < size <= _JOINED_BYTES
                and size <= self.window
                and size <= sender.window
            ):
                data = _pack(size << 8 | DATA, 0, self.id)
                stream_id = data[5:]
                self.has_said = True
                self.is_quick = False
                sender.window -= size
                del sender.streams[self.id]
                sender.write(
                    b"".join((first[0], stream_id, first[1], data, body, last[0], stream_id, last[1]))  # type: ignore[arg-type]
                )
                self.on_gone = self.on_writable = None
                if on_written is not None:
                    on_written()
                if sender.on_empty is not None and not sender.streams:
                    sender.on_empty()
                return
        self._respond(status, headers, body if isinstance(body, tuple) else (body,), trailers, on_written)

    def _respond(
        self,
        status: int,
        headers: Headers,
        body: tuple[Buffer, ...],
        trailers: Headers,
        on_written: Callable[[], None] | None,
    ) -> None:
        if self.has_said or self.out is not None:
            if on_written is not None:
                safely(on_written)
            return
        self.is_quick = False
        out = Outgoing(None, self.sender.now)
        for buffer in body:
            out.append(buffer)
        out.on_written = on_written
        try:
            self._frame(out, status, headers, trailers)
        except ValueError:  # a header that HTTP forbids: the caller's bug, and the client must not wait
            self.abort()
            raise
        self.out = out
        self._end(out)

    def _frame(self, out: Outgoing, status: int, headers: Headers, trailers: Headers) -> None:
        """Gives `out` its header blocks: the shortest form that says the same."""
        length = b"" if status in _BODILESS or trailers else responses.content_length(out.size)
        if self.head.method == b"HEAD" or status in _BODILESS:
            out.chunks.clear()
            out.size = 0
        if out.size:
            out.head = responses.head(status, headers)[1] + length
            out.tail = responses.tail(trailers)[1] if trailers else None
        else:
            out.tail = responses.head(status, headers + trailers)[1] + length

    # ---- answering piece by piece ---------------------------------------------------------------

    def start(self, status: int, headers: Headers) -> None:
        """Opens a streamed answer and sends its head at once."""
        if self.has_said or self.out is not None:
            return
        self.is_quick = False
        self.out = Outgoing(responses.head(status, headers)[1], self.sender.now)
        self.sender.submit(self)

    def write(self, data: Buffer) -> None:
        """Appends to a streamed answer, sent in this turn of the loop; a buffer that may change is copied."""
        out = self.out
        if out is None or self.has_said or self.head.method == b"HEAD":
            return
        out.append(data if isinstance(data, bytes) else bytes(data))
        if out.size <= _JOINED_BYTES:
            self.sender.submit_soon(self)
            return
        self.sender.submit(self)
        if self.out is not None and not self.sender.is_writable(out):
            out.is_full = True

    def finish(self, trailers: Headers = ()) -> None:
        """Ends a streamed answer."""
        out = self.out
        if out is None or self.has_said:
            return
        if trailers:
            out.tail = responses.tail(trailers)[1]
        self._end(out)

    def _end(self, out: Outgoing) -> None:
        out.ended = True
        self.has_said = True
        self.is_fresh = False
        self.sender.submit(self)

    def finished(self) -> None:
        """Must be called when the last frame of the answer has been handed to the transport."""
        self.out = None
        self.on_gone = self.on_writable = None
        self.is_fresh = False
        if not self.has_heard:
            self.sender.linger(self.id)
        self._release()
        self.sender.forget(self)

    # ---- the request ---------------------------------------------------------------------------

    def hand_over(self, body: Buffer, lease: Lease | None) -> None:
        """Gives a complete request to its endpoint."""
        self.upload = None
        self.is_quick = self.head.method != b"HEAD"
        if not safely(self.endpoint.handle, self, body, lease):
            self.abort()

    def refuse(self, error: GatewayError) -> None:
        """Has the endpoint answer with an error of ours, or breaks off an answer that has begun."""
        if self.has_said:
            return
        if self.out is not None:
            self.sender.reset(self.id, ErrorCode.CANCEL)
            self.gone()
            return
        on_gone, self.on_gone = self.on_gone, None
        self.is_fresh = False
        if not safely(self.endpoint.refuse, self, error):
            self.abort()
        if on_gone is not None:
            safely(on_gone)

    # ---- breaking off ---------------------------------------------------------------------------

    def abort(self) -> None:
        """Breaks the answer off: the client sees INTERNAL_ERROR after what was written."""
        self.sender.flush()
        if self.has_said and self.out is None:
            return
        self.on_gone = None
        self.sender.reset(self.id, ErrorCode.INTERNAL_ERROR)
        self.gone()

    def gone(self) -> None:
        """The stream is over, whoever ended it; tells the endpoint if it was still to answer."""
        on_gone, self.on_gone, self.on_writable = self.on_gone, None, None
        was_open, self.has_said = not self.has_said, True
        self.is_fresh = self.is_quick = False
        out, self.out = self.out, None
        self._release()
        self.sender.forget(self)
        if out is not None and out.on_written is not None:
            if out.sent:  # some of its buffers may lie in the transport
                self.sender.release(out.on_written)
            else:
                safely(out.on_written)
        if was_open and on_gone is not None:
            safely(on_gone)

    def _release(self) -> None:
        if self.upload is not None:
            self.upload.drop()
            self.upload = None

    # ---- what callers may ask -------------------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        """False while more of this answer waits than its part of the connection's limit.

        Whoever is told so waits for `on_writable`, be it that the part has shrunk since the last write.
        """
        out = self.out
        is_full = out is not None and not self.sender.is_writable(out)
        if is_full and out is not None:
            out.is_full = True
        return not is_full

    @property
    def is_open(self) -> bool:
        """False once answered, aborted, or the client has gone."""
        return not self.has_said

    def pause_reading(self) -> None:
        """Stops handing the body over, and so, a window later, the client."""
        if self.upload is not None:
            self.upload.is_paused = True

    def resume_reading(self) -> None:
        """Goes on handing the body over."""
        if self.upload is not None and self.upload.is_paused:
            self.upload.resume()
