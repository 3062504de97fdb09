"""The only reader of the clock; everything else takes `now`, or one of these functions, as an argument."""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds on a scale that never jumps; what deadlines and durations are measured on.
Clock = Callable[[], float]

monotonic_s: Clock = time.monotonic
# Seconds since 1970; for people and logs, never for durations.
wall_s: Clock = time.time
monotonic_ns: Callable[[], int] = time.monotonic_ns
