"""What we are too busy for, a model: retries in a storm, newcomers to a standing queue, more than it answers.

DESIGN: everything here is by model, since each has its queue: one that is slow must not make us refuse
those that are not. It is learnt from the records of requests, not from the call that gives a place back:
that one is told nothing of how a request ended, so that refusals of 5 us would teach the limit to grow and
a cold start of 30 s to shrink. What is left out: cold starts, errors of the model, and of the requests that
were given up while waiting all that their callers' patience, not our slowness, has decided. A model of which
no request has ended yet is not limited: those that wait for it to load are the cold queue's to bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from gateway.core.caller import Caller, matches
from gateway.core.errors import Overloaded, Reason
from gateway.core.records import RequestRecord
from gateway_plugins.limits.codel import Codel, Queue, Seen
from gateway_plugins.limits.concurrency import Counters
from gateway_plugins.limits.gradient import Gradient, Sample, State
from gateway_plugins.limits.priority import SHARES
from gateway_plugins.limits.retry_storm import RetryStorm, Window, is_retry
from gateway_plugins.limits.settings import AdaptiveSettings, LimitsSettings, Patterns

TOO_MANY = "overloaded: as many requests for this model are under way as it answers in good time"
TOO_LATE = "overloaded: requests for this model wait too long"
TOO_OFTEN = "overloaded: retries have to wait until fewer requests for this model are refused"

# What counts as refused by us; a quota is the caller's own.
_OURS = frozenset({Reason.OVERLOADED, Reason.QUEUE_TIMEOUT})
_GIVEN_UP = frozenset({Reason.QUEUE_TIMEOUT, Reason.DEADLINE_EXCEEDED})
_RETRY_S = 1.0
# Fractions of multiples of it are spread evenly, without a source of chance.
_GOLDEN = 0.6180339887498949
# More models than any repository has; the first known is forgotten, and learnt anew.
_MAX_MODELS = 10_000


class _Model:
    """What is known of one model; `peak` is the most that were in, or wanted in, since the last sample."""

    __slots__ = ("adaptive", "peak", "queue", "seen", "window")

    def __init__(self, adaptive: State | None, queue: Queue | None) -> None:
        self.adaptive = adaptive
        self.queue = queue
        self.seen = Seen()
        self.window = Window()
        self.peak = 0


class Pressure:
    """Owns what is known of each model, and how many of its requests are in."""

    def __init__(self, settings: LimitsSettings) -> None:
        self._gradient: Final = _gradient(settings.adaptive)
        codel, storm = settings.codel, settings.retry_storm
        self._codel: Final = Codel(codel.target_s, codel.interval_s)
        self._storm: Final = RetryStorm(storm.share, storm.window_s, storm.least)
        self._adaptive_models: Final = settings.adaptive.models if settings.adaptive.enabled else ()
        self._codel_models: Final = codel.models if codel.enabled else ()
        self._sees_storms: Final = storm.enabled
        self._models: dict[str, _Model] = {}
        self.refusals: Final = dict.fromkeys((TOO_OFTEN, TOO_LATE, TOO_MANY), 0)
        self.counters: Final = Counters()

    @property
    def is_counting(self) -> bool:
        """True where admitted requests must be counted by model in `counters`."""
        return bool(self._adaptive_models)

    def check(self, model: str, priority: int, caller: Caller, now: float) -> None:
        """Raises Overloaded where a request of that effective priority must not come in."""
        known = self._models.get(model)
        if known is None:
            return
        if self._sees_storms and self._storm.is_on(now, known.window) and is_retry(caller.headers):
            known.window = self._storm.counted(now, known.window, -1, -1)  # its record is still to come
            raise self._refusal(TOO_OFTEN, self._storm.window_s)
        if known.queue is not None:
            known.seen = known.seen.with_one(now, self._codel.interval_s, priority)
            steps = known.seen.of_late - priority
            is_shed, known.queue = self._codel.decide(now, known.queue, steps)
            if is_shed:
                raise self._refusal(TOO_LATE, _RETRY_S)
        if known.adaptive is not None:
            self._check_limit(model, known, priority, known.adaptive.limit)

    def _check_limit(self, model: str, known: _Model, priority: int, limit: float) -> None:
        under_way = self.counters.of(model)
        if under_way >= max(limit * SHARES[priority], 1.0):
            # For whoever is refused it was full, also where only its priority's part of it was.
            known.peak = max(known.peak, under_way, ceil(limit))
            raise self._refusal(TOO_MANY, _RETRY_S)
        known.peak = max(known.peak, under_way + 1)

    def limits(self) -> Iterator[tuple[str, float]]:
        """What each model is let in at a time now, where that is adaptive."""
        for name, known in self._models.items():
            if known.adaptive is not None:
                yield name, known.adaptive.limit

    def record(self, record: RequestRecord, now: float) -> None:
        """Learns from a request that has ended."""
        if not record.model or record.reason is Reason.QUOTA_EXCEEDED:
            return
        known = self._models.get(record.model) or self._begun(record.model)
        if self._sees_storms:
            known.window = self._storm.counted(now, known.window, 1, int(record.reason in _OURS))
        if record.is_cold:
            return
        has_run = record.reason is None and record.batch_rows > 0
        if has_run or record.reason in _GIVEN_UP:
            self._learn(known, record, now, has_run=has_run)

    def _learn(self, known: _Model, record: RequestRecord, now: float, *, has_run: bool) -> None:
        if known.adaptive is not None:
            sample = Sample(record.duration_s, known.peak, not has_run)
            known.adaptive = self._gradient.update(now, known.adaptive, sample)
            known.peak = self.counters.of(record.model)
        if known.queue is not None:
            wait_s = record.queue_s if record.batch_rows else record.duration_s
            # Given up before the target says nothing of how long it would have been.
            if has_run or wait_s >= self._codel.target_s:
                known.queue = self._codel.measured(now, known.queue, wait_s)

    def _begun(self, model: str) -> _Model:
        if len(self._models) >= _MAX_MODELS:
            del self._models[next(iter(self._models))]
        adaptive = self._gradient.begun() if _has(self._adaptive_models, model) else None
        known = _Model(adaptive, Queue() if _has(self._codel_models, model) else None)
        self._models[model] = known
        return known

    def _refusal(self, text: str, wait_s: float) -> Overloaded:
        """With a time to wait that is spread by a fifth both ways, so that not all come back at once."""
        self.refusals[text] += 1
        spread = sum(self.refusals.values()) * _GOLDEN % 1.0
        return Overloaded(text, retry_after_s=wait_s * (0.8 + 0.4 * spread))


def _gradient(settings: AdaptiveSettings) -> Gradient:
    if not settings.min <= settings.initial <= settings.max:
        raise ValueError("adaptive: initial must lie between min and max")
    return Gradient(
        settings.min,
        settings.max,
        settings.initial,
        settings.queue,
        settings.smoothing,
        settings.tolerance,
        settings.window_s,
        settings.least,
        settings.long_windows,
    )


def _has(patterns: Patterns, model: str) -> bool:
    return any(matches(pattern, model) for pattern in patterns)
