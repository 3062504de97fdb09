"""Tracebacks of a model's exceptions, to the worker's standard error, not more of them than one reads."""

from __future__ import annotations

import sys
import traceback

from gateway.core.clock import Clock

INTERVAL_S = 1.0


class Tracebacks:
    """At most one a second: callers who send nonsense must not fill the disk."""

    def __init__(self, title: str, clock: Clock) -> None:
        self._title = title
        self._clock = clock
        self._next_at = float("-inf")
        self._left_out = 0

    def write(self, error: BaseException) -> None:
        """Writes `error`'s traceback, or counts it for the next one."""
        now = self._clock()
        if now < self._next_at:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last)" if self._left_out else ""
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(f"{self._title}: an exception{more}\n{text}")
        sys.stderr.flush()
        self._next_at = now + INTERVAL_S
        self._left_out = 0
