"""What is too slow: pure decisions about a connection, of what it did by `now`, seconds."""

from __future__ import annotations

from gateway.wire.settings import WireSettings

# A rate over the first moments says nothing: a window may just be opening.
RATE_AFTER_S = 5.0
# How long an answer may take before a client that sent its end-of-stream is asked whether it still reads.
PROBE_AFTER_S = 1.0


def is_head_late(now: float, began: float, settings: WireSettings) -> bool:
    """True when the head that began to arrive at `began` has had its time."""
    return now - began > settings.headers_timeout_s


def body_fault(now: float, began: float, last: float, received: int, settings: WireSettings) -> str | None:
    """Why a body is too slow, or None; `last` is when bytes last came, `received` how many there are."""
    if now - last > settings.body_idle_timeout_s:
        return f"no byte of the body came for {settings.body_idle_timeout_s:g} s"
    elapsed = now - began
    if elapsed > settings.body_timeout_s:
        return f"the body was not complete after {settings.body_timeout_s:g} s"
    if elapsed > RATE_AFTER_S and received < settings.body_min_rate * elapsed:
        return f"the body came at less than {settings.body_min_rate} bytes/s"
    return None


class WriteProgress:
    """Watches that a client takes what it asked for.

    Progress is fewer unsent bytes than when last seen, or a drained buffer; more bytes are none.
    """

    __slots__ = ("_since", "unsent")

    def __init__(self) -> None:
        self.unsent = 0
        self._since = 0.0

    def is_stuck(self, now: float, unsent: int, timeout_s: float) -> bool:
        """True when `unsent` bytes have waited longer than `timeout_s` without one being taken."""
        if not self.unsent or unsent < self.unsent:
            self._since = now
        self.unsent = unsent
        return bool(unsent) and now - self._since > timeout_s

    def drained(self) -> None:
        """Must be called when the transport says that its buffer was emptied."""
        self.unsent = 0
