"""How many instances a version is to have: Knative's concurrency-based autoscaler, and rules for zero. Pure.

As Knative's pkg/autoscaler/scaling/autoscaler.go decides, with instances in place of pods. Averages are
plain means over the samples of a window. Panic: when a short window asks for twice what there is, its word
counts, and nothing is taken away until a whole stable window has passed without it. To zero it goes by
time: when nothing is under way and the last request is `keep_alive_s` ago.
"""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple

LEAST_TARGET = 0.01


class Rules(NamedTuple):
    """The numbers of the decision; defaults are Knative's."""

    stable_window_s: float = 60.0
    panic_window_s: float = 6.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    target: float = 70.0
    scale_down_delay_s: float = 0.0


class Bounds(NamedTuple):
    """Fewest, while there are any, and most instances; `keep_alive_s` negative never goes to zero."""

    low: int
    high: int
    keep_alive_s: float
    may_be_zero: bool = True


class Sample(NamedTuple):
    """Requests under way at a time, on average over the second that ended at `at`."""

    at: float
    concurrency: float


class ScaleState(NamedTuple):
    """What is remembered from decision to decision: of each version that is loaded."""

    samples: tuple[Sample, ...] = ()
    panic_at: float | None = None
    max_in_panic: int = 0
    wanted: tuple[Sample, ...] = ()  # what was decided, for the delay of scaling down


class Decision(NamedTuple):
    """The state to remember, and the instances there are to be; whether it panics."""

    state: ScaleState
    desired: int
    is_panicking: bool


def target_of(total: float, utilization: float) -> float:
    """Requests an instance is to have at a time, of `total` it could."""
    return max(LEAST_TARGET, total * utilization)


def average(samples: tuple[Sample, ...], now: float, window_s: float) -> float:
    """The mean over the samples of a window; 0 without any."""
    found = [one.concurrency for one in samples if one.at > now - window_s]
    return sum(found) / len(found) if found else 0.0


def decide(
    now: float, state: ScaleState, ready: int, rules: Rules, bounds: Bounds, *, unused_s: float | None
) -> Decision:
    """What `ready` instances are to become; `unused_s` is None while something is under way or loads."""
    stable = ceil(average(state.samples, now, rules.stable_window_s) / rules.target)
    panic = ceil(average(state.samples, now, rules.panic_window_s) / rules.target)
    there = max(1, ready)
    up = ceil(rules.max_scale_up_rate * there)
    down = floor(there / rules.max_scale_down_rate)
    in_stable, in_panic = min(max(stable, down), up), min(max(panic, down), up)
    is_over = panic / there >= rules.panic_threshold
    panic_at = now if is_over else state.panic_at
    if panic_at is not None and panic_at + rules.stable_window_s < now:
        panic_at = None
    max_in_panic = 0 if panic_at is None else max(state.max_in_panic, in_stable, in_panic, ready)
    desired = in_stable if panic_at is None else max_in_panic
    kept = tuple(one for one in state.wanted if one.at > now - rules.scale_down_delay_s)
    wanted = (*kept, Sample(now, desired)) if rules.scale_down_delay_s else ()
    desired = max(desired, ceil(max((one.concurrency for one in wanted), default=0.0)))
    after = ScaleState(_recent(state.samples, now, rules), panic_at, max_in_panic, wanted)
    return Decision(after, bounded(desired, bounds, unused_s), panic_at is not None)


def bounded(desired: int, bounds: Bounds, unused_s: float | None) -> int:
    """`desired` within `bounds`, or none of what has not been used for as long as it was to stay."""
    is_unused = unused_s is not None and 0 <= bounds.keep_alive_s <= unused_s
    if bounds.may_be_zero and is_unused:
        return 0
    return min(max(desired, bounds.low), bounds.high)


def observed(state: ScaleState, now: float, concurrency: float, rules: Rules) -> ScaleState:
    """`state` with one more sample."""
    return state._replace(samples=(*_recent(state.samples, now, rules), Sample(now, concurrency)))


def _recent(samples: tuple[Sample, ...], now: float, rules: Rules) -> tuple[Sample, ...]:
    return tuple(one for one in samples if one.at > now - rules.stable_window_s)
