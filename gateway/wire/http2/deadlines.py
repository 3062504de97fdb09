"""What must happen in time, looked at twice a second; no timer per stream, no clock per frame."""

from __future__ import annotations

import enum

from gateway.core.errors import RequestTimeout
from gateway.wire.half_closed import LINGER_S
from gateway.wire.http2.frames import ErrorCode
from gateway.wire.http2.outgoing import Outgoing
from gateway.wire.http2.reception import Reception
from gateway.wire.http2.sending import Sender
from gateway.wire.http2.streams import Http2Exchange
from gateway.wire.settings import WireSettings

# A client that takes less than this in `write_idle_timeout_s` takes nothing: windows of one byte
# every 29 s would hold a stream and its buffers for years.
_LEAST_PROGRESS_BYTES = 1024
# How long a client may take to answer the PING behind the first GOAWAY.
_WARNING_S = 1.0


class Verdict(enum.Enum):
    """What a connection deserves."""

    GO_ON = enum.auto()
    DRAIN = enum.auto()  # it is idle or old
    CALL_LAST = enum.auto()  # it was warned: name the last stream
    TOO_SLOW = enum.auto()  # a head or preface is overdue
    ABORT = enum.auto()  # it takes nothing, or stays beyond its grace
    CLOSE = enum.auto()  # everything is said, and it had its time to hear it


class Deadlines:
    """One connection's."""

    __slots__ = (
        "_born_at",
        "_buffered",
        "_idle_since",
        "_settings",
        "_taken_at",
        "_work",
        "ended_at",
        "has_aged",
        "warned_at",
    )

    def __init__(self, settings: WireSettings, now: float) -> None:
        self._settings = settings
        self._born_at = now
        self._idle_since = now
        self._work = 0
        self._buffered = 0
        self._taken_at = now
        self.warned_at: float | None = None
        self.ended_at: float | None = None  # when our half was
        self.has_aged = False  # its age, not the listener, is why it is drained

    def judge(self, now: float, sender: Sender, reception: Reception, work: int) -> Verdict:
        """What to do with the connection now; `work` counts the streams it has opened."""
        if self._is_stuck(now, sender) or self._is_beyond_grace(now):
            return Verdict.ABORT
        if self.ended_at is not None:
            return Verdict.CLOSE if now - self.ended_at > LINGER_S else Verdict.GO_ON
        waiting = reception.waiting_since
        if waiting is not None and now - waiting > self._settings.headers_timeout_s:
            return Verdict.TOO_SLOW
        if self.warned_at is not None:
            return Verdict.CALL_LAST if now - self.warned_at > _WARNING_S else Verdict.GO_ON
        return Verdict.DRAIN if self._is_idle(now, sender, work) or self._is_old(now) else Verdict.GO_ON

    def _is_stuck(self, now: float, sender: Sender) -> bool:
        """True if the transport has held bytes for too long without getting rid of some."""
        size = sender.transport.get_write_buffer_size()
        # While it is not paused it may also grow, so any change may be progress.
        is_less = size <= self._buffered - _LEAST_PROGRESS_BYTES
        if not size or is_less or (not sender.is_paused and size != self._buffered):
            self._buffered = size
            self._taken_at = now
        return now - self._taken_at > self._settings.write_idle_timeout_s

    def _is_idle(self, now: float, sender: Sender, work: int) -> bool:
        if sender.streams or work != self._work:
            self._work = work
            self._idle_since = now
        return now - self._idle_since > self._settings.idle_timeout_s

    def _is_old(self, now: float) -> bool:
        age = self._settings.max_connection_age_s
        self.has_aged = 0 < age < now - self._born_at
        return self.has_aged

    def _is_beyond_grace(self, now: float) -> bool:
        settings = self._settings
        limit = settings.max_connection_age_s + settings.max_connection_age_grace_s
        return self.has_aged and now - self._born_at > limit

    # ---- streams --------------------------------------------------------------------------------

    def sweep(self, now: float, sender: Sender) -> None:
        """Ends the streams whose bodies come, or whose answers go, too slowly."""
        sender.stop_lingering()
        for stream in list(sender.streams.values()):
            if self._is_body_overdue(now, stream):
                stream.refuse(RequestTimeout("the body was not received in time"))
            elif stream.out is not None and self._is_unread(now, stream.out):
                sender.reset(stream.id, ErrorCode.CANCEL)
                stream.gone()

    def _is_body_overdue(self, now: float, stream: Http2Exchange) -> bool:
        # Where a streamed request is being answered it has become a conversation, which may pause.
        if stream.has_heard or stream.has_said or stream.out is not None:
            return False
        if stream.upload is not None:
            return stream.upload.is_overdue(now, stream.opened_at)
        return now - stream.opened_at > self._settings.body_idle_timeout_s

    def _is_unread(self, now: float, out: Outgoing) -> bool:
        owes_nothing = not out.size and out.head is None and not out.ended
        if owes_nothing or out.sent - out.mark >= _LEAST_PROGRESS_BYTES:
            out.mark, out.marked_at = out.sent, now
        return now - out.marked_at > self._settings.write_idle_timeout_s
