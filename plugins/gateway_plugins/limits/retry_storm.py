"""Who tries again, and when that has to wait. Pure: windows are values, time is an argument.

DESIGN: under overload every refusal breeds a retry, and retries of what was refused crowd out first
attempts, which breed more. Where more than a share of what callers want is refused, those who say that they
try again are refused first, before they cost anything. Refusals that this causes must not count, or the
storm would feed itself; nor those of a caller's own quota, or a noisy caller would switch off the retries
of all. A window is two halves, this and the one before, of which the older one fades out: two counters
instead of a queue of times, exact to within the evenness of the older half.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# From which number on a header says "again". gRPC counts the attempts before this one, x-retry-attempt the
# retries; Envoy counts attempts, so that its first is 1.
_AGAIN_FROM = {b"grpc-previous-rpc-attempts": 1, b"x-retry-attempt": 1, b"x-envoy-attempt-count": 2}
_MAX_DIGITS = 9


def is_retry(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """True where a header says that this was tried before; what is no number says nothing."""
    for name, value in headers:
        least = _AGAIN_FROM.get(name)
        if least is not None and value.isdigit() and len(value) <= _MAX_DIGITS and int(value) >= least:
            return True
    return False


class Window(NamedTuple):
    """What was asked and refused in the window that began at `began`, and in the one before."""

    began: float = float("-inf")
    seen: int = 0
    refused: int = 0
    seen_before: int = 0
    refused_before: int = 0


class RetryStorm(NamedTuple):
    """There is a storm where more than `share` of at least `least` requests in `window_s` were refused."""

    share: float
    window_s: float
    least: int

    def counted(self, now: float, window: Window, seen: int, refused: int) -> Window:
        """The window with so many more; numbers below 0 take back what will be told of but must not count."""
        began, seen_now, refused_now, seen_before, refused_before = self._moved(now, window)
        return Window(began, seen_now + seen, refused_now + refused, seen_before, refused_before)

    def is_on(self, now: float, window: Window) -> bool:
        """True where retries have to wait."""
        window = self._moved(now, window)
        older = 1.0 - (now - window.began) / self.window_s
        seen = window.seen + older * window.seen_before
        return seen >= self.least and window.refused + older * window.refused_before > self.share * seen

    def _moved(self, now: float, window: Window) -> Window:
        age = now - window.began
        if age < self.window_s:
            return window
        if age < 2.0 * self.window_s:
            return Window(window.began + self.window_s, 0, 0, window.seen, window.refused)
        return Window(now)
