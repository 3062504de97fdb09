"""What one stream still has to send, and whom to tell when that has gone."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from gateway.core.tensor import Buffer

Notice = Callable[[], None]

_logger = logging.getLogger(__name__)


def safely(callback: Callable[..., object], *arguments: object) -> bool:
    """Calls what is not ours; False, and a traceback in the log, where that raised.

    One endpoint's defect must not end the connection and with it the requests of others.
    """
    try:
        callback(*arguments)
    except Exception:
        _logger.exception("an endpoint's callback failed")
        return False
    return True


class Outgoing:
    """What one stream still has to send: a head, then data, then perhaps trailers.

    Invariant: `size` == the bytes in `chunks`. `ended`: nothing more will be added.
    """

    __slots__ = (
        "chunks",
        "ended",
        "head",
        "is_closed",
        "is_full",
        "mark",
        "marked_at",
        "on_written",
        "sent",
        "size",
        "tail",
    )

    def __init__(self, head: bytes | None, now: float) -> None:
        self.head = head  # a header block
        self.chunks: deque[memoryview] = deque()
        self.size = 0
        self.tail: bytes | None = None  # a header block; None: the last DATA frame ends the stream
        self.ended = False
        self.is_closed = False  # a frame with END_STREAM has been given to the transport
        self.on_written: Notice | None = None
        self.is_full = False
        self.sent = 0  # bytes of data
        # Where `sent` stood when the client was last seen to take something.
        self.mark = 0
        self.marked_at = now

    def append(self, data: Buffer) -> None:
        view = memoryview(data)
        if view.nbytes:
            self.chunks.append(view if view.format == "B" and view.ndim == 1 else view.cast("B"))
            self.size += view.nbytes

    def take(self, size: int, parts: list[Buffer]) -> None:
        """Moves `size` bytes, no more than there are, to `parts` without copying them."""
        chunks = self.chunks
        self.size -= size
        self.sent += size
        while size:
            chunk = chunks[0]
            if len(chunk) <= size:
                size -= len(chunk)
                parts.append(chunks.popleft())
            else:
                parts.append(chunk[:size])
                chunks[0] = chunk[size:]
                size = 0
