"""What a peer may spend of our time on frames that bring no work."""

from __future__ import annotations

from gateway.wire.http2.frames import calm_down
from gateway.wire.settings import WireSettings

# A reset within this time of the request's HEADERS is what a rapid-reset attack is made of. A stream
# that lived longer was bounded by the limit on concurrent streams all that time (256 streams of 10 ms
# are 25,600 a second, no more than honest calls), so its reset, a missed deadline, costs an eighth.
QUICK_RESET_S = 0.010
_SLOW_RESET_COST = 0.125
# PING, WINDOW_UPDATE, PRIORITY and late RST_STREAM come with real work: grpcio sends two window
# updates a call, grpc-go a ping a round trip. So many are free for each stream opened and each message
# or DATA frame that had to be queued; what is beyond is paid from the control bucket.
_FREE_PER_WORK = 4
_FREE_AT_FIRST = 64


class TokenBucket:
    """`burst` tokens to begin with, `rate` new ones a second up to `burst`.

    Invariant: 0 <= tokens <= burst.
    """

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._tokens = burst
        self._filled_at = now

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Takes `cost` tokens, or says False and takes none."""
        if now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True


class Budgets:
    """One connection's; each method raises ConnectionFault ENHANCE_YOUR_CALM when nothing is left."""

    __slots__ = ("_attended", "_control", "_resets")

    def __init__(self, settings: WireSettings, now: float) -> None:
        self._resets = TokenBucket(settings.http2_reset_burst, settings.http2_reset_rate, now)
        self._control = TokenBucket(settings.http2_control_burst, settings.http2_control_rate, now)
        self._attended = 0

    def pay_reset(self, now: float, age: float = 0.0) -> None:
        """For a stream that came to nothing at `age` seconds, by the peer's wish or by its fault."""
        if not self._resets.take(now, 1.0 if age < QUICK_RESET_S else _SLOW_RESET_COST):
            raise calm_down("too many stream resets")

    def pay_refusal(self, now: float) -> None:
        """For a stream that was refused before anything was done for it."""
        if not self._resets.take(now, _SLOW_RESET_COST):
            raise calm_down("too many streams beyond the limit")

    def pay_control(self, now: float) -> None:
        """For a frame that never belongs to work: SETTINGS, empty DATA, unknown types."""
        if not self._control.take(now):
            raise calm_down("too many control frames")

    def pay_attendance(self, now: float, work: int) -> None:
        """For a frame that may belong to work, of which `work` units have been done so far."""
        self._attended += 1
        if self._attended > _FREE_AT_FIRST + _FREE_PER_WORK * work:
            self._attended -= 1
            self.pay_control(now)
