"""How many requests at a time a model answers in good time, learnt from how long they take. Pure.

DESIGN: Gradient2 (Netflix's concurrency-limits): below its knee a server answers as fast with more at a
time, beyond it each one more makes all wait. A short average of latency over a long one tells on which side
we are: limit' = limit · clamp(tolerance · long/short, 0.5, 1) + queue, smoothed. One thing is different.
There the long average learns always: under an overload that stays it learns the overload, the gradient
becomes 1, and the limit grows without end (its latency need only rise by half each 600 windows). Here it
learns upward only from windows that did not fill the limit; downward it learns always. So the limit settles
where latency is about tolerance times that of the knee. But then a model that has become slower for good (a
new version) would look like an overload for ever, with a limit as low as twice `queue`: at rest the two
cannot be told apart. So after thirty windows of pressing, the limit is lowered by a quarter for two. If the
wait is one behind our own limit, latency falls with it, and as the limit lies beyond the knee that costs no
throughput; if latency stays, it is the server's, and the long average takes over half the difference.
AIMD needs a time-out to know what is late; Vegas' minimum never forgets one lucky request.
"""

from __future__ import annotations

from typing import NamedTuple

# Windows whose plain mean the long average is at first.
_WARM_UP = 10
# How much of a window's mean the short average takes over.
_SHORT = 0.5
_MIN_GRADIENT = 0.5
# Where the long average is this many times the short one, a slow phase is over: it is brought down faster.
_RECOVERED = 2.0
_RECOVERY = 0.95
# The trial that tells an overload from a slower server: after how many windows, how far down, for how many
# windows (the last is measured, when those let in before have ended), and what fall of latency shows that
# it was an overload: with limit and latency in proportion it falls by a quarter, noise of means by less.
_PRESSED = 30
_LOWERED = 0.75
_TRIAL = 2
_FALLEN = 0.9


class Sample(NamedTuple):
    """A request that has ended: what it spent, and the most that were in at a time since the one before.

    `is_at_least`: it was given up, and would have taken longer. That can only make an average larger: a
    caller with no patience does not make us look fast.
    """

    spent_s: float
    in_flight: int
    is_at_least: bool = False


class State(NamedTuple):
    """`limit` and the averages, the trial, and the sums of the window under way.

    `pressed` counts windows that filled a limit with latency beyond the tolerance; `trial` the windows that
    a trial still has, 0 outside of one; `before` are the limit and the short average
    when it began.
    """

    limit: float
    long_s: float = 0.0
    short_s: float = 0.0
    windows: int = 0
    pressed: int = 0
    trial: int = 0
    before: tuple[float, float] = (0.0, 0.0)
    until: float = 0.0
    samples: int = 0
    total_s: float = 0.0
    peak: int = 0


class Gradient(NamedTuple):
    """Invariant: minimum <= state.limit <= maximum."""

    minimum: float
    maximum: float
    initial: float
    queue: float
    smoothing: float
    tolerance: float
    window_s: float
    least: int  # samples in a window
    long_windows: int

    def begun(self) -> State:
        """Before the first sample."""
        return State(self.initial)

    def update(self, now: float, state: State, sample: Sample) -> State:
        """The state after a request has ended; the limit changes at the end of a window only."""
        spent_s = max(sample.spent_s, state.short_s) if sample.is_at_least else sample.spent_s
        until = state.until if state.samples else now + self.window_s
        samples, peak = state.samples + 1, max(state.peak, sample.in_flight)
        limit, long_s, short_s, windows, pressed, trial, before = state[:7]
        total_s = state.total_s + spent_s
        summed = State(limit, long_s, short_s, windows, pressed, trial, before, until, samples, total_s, peak)
        return summed if now < until or samples < self.least else self._after(summed)

    def _after(self, state: State) -> State:
        """The state after a window, with an empty one begun."""
        mean_s = state.total_s / state.samples
        if state.trial:
            return self._tried(state, mean_s)
        short_s = state.short_s + (mean_s - state.short_s) * (_SHORT if state.windows else 1.0)
        is_full = state.peak + 1 > state.limit
        long_s = self._learnt(state, short_s, is_full=is_full)
        limit, windows = self._limit(state, long_s, short_s), state.windows + 1
        pressed = state.pressed + (short_s > self.tolerance * long_s) if is_full else 0
        if pressed < _PRESSED:
            return State(limit, long_s, short_s, windows, pressed)
        lowered = max(limit * _LOWERED, self.minimum)
        return State(lowered, long_s, short_s, windows, 0, _TRIAL, (limit, short_s))

    def _learnt(self, state: State, short_s: float, *, is_full: bool) -> float:
        long_s = state.long_s
        if state.windows < _WARM_UP:
            return long_s + (short_s - long_s) / (state.windows + 1)
        if short_s < long_s or not is_full:
            long_s += (short_s - long_s) * 2.0 / (self.long_windows + 1)
        return long_s * _RECOVERY if long_s > _RECOVERED * short_s else long_s

    def _tried(self, state: State, mean_s: float) -> State:
        """The state after a window of a trial: with its end the limit is what it was."""
        if state.trial > 1:
            return state._replace(trial=state.trial - 1, samples=0, total_s=0.0, peak=0)
        limit, short_s = state.before
        is_same = _FALLEN * short_s < mean_s < short_s / _FALLEN  # else something else has changed too
        is_server = is_same and state.peak + 1 > state.limit
        long_s = (state.long_s + mean_s) / 2.0 if is_server else state.long_s
        return State(limit, long_s, short_s, state.windows)

    def _limit(self, state: State, long_s: float, short_s: float) -> float:
        if state.peak < state.limit / 2.0:
            return state.limit  # it is not what holds anybody back, so nothing says that it is too small
        gradient = self.tolerance * long_s / short_s if short_s > 0.0 else 1.0
        wanted = state.limit * min(max(gradient, _MIN_GRADIENT), 1.0) + self.queue
        limit = state.limit + (wanted - state.limit) * self.smoothing
        return min(max(limit, self.minimum), self.maximum)
