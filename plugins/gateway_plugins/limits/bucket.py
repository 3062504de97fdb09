"""A token bucket as arithmetic: no timer fills it, `now` does.

DESIGN: the whole state of a bucket is one float, the time at which it will be full (the virtual scheduling
form of ATM's cell rate algorithm). Taking a token moves that time by 1/rate; there is a token while it lies
no more than (burst - 1)/rate ahead. A pair of (tokens, filled at) says the same with two numbers that have
to be brought up to date at each look; here a look changes nothing, and a full bucket is simply one whose
time has passed: it is worth nothing, and can be forgotten.
"""

from __future__ import annotations

from typing import Final

# The time of a bucket that has never been used.
FULL = float("-inf")
# Time in doubles has steps of 2 ns after four months; so that rounding never makes a promise of `wait_s`
# untrue, a token may be taken this much early. It is not given away: the next one comes as much later.
_SLACK_S = 1e-6


class Bucket:
    """`rate` tokens a second come in, of which `burst` can be there at once; burst is at least 1.

    Invariant: in any t seconds no more than rate * (t + 1 us) + burst are taken by those who ask first.
    """

    __slots__ = ("depth_s", "interval_s")

    def __init__(self, interval_s: float, depth_s: float) -> None:
        self.interval_s: Final = interval_s  # between two tokens
        self.depth_s: Final = depth_s  # how far ahead the time may lie for there to be a token

    @classmethod
    def of(cls, rate: float, burst: float) -> Bucket:
        """Raises ValueError for what no bucket is."""
        if rate <= 0.0 or burst < 1.0:
            raise ValueError("a bucket needs a rate above 0 and a burst of at least 1")
        return cls(1.0 / rate, (burst - 1.0) / rate)

    def wait_s(self, full_at: float, now: float) -> float:
        """How long until a token is there if nobody else takes one; 0 where one is there."""
        wait = full_at - now - self.depth_s
        return wait if wait > _SLACK_S else 0.0

    def taken(self, full_at: float, now: float) -> float:
        """When the bucket will be full after a token was taken; must be asked only where one is there."""
        return (full_at if full_at > now else now) + self.interval_s
