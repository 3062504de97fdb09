"""A front's counters: plain integers, handed to the controller once a second, merged there.

A front that dies takes at most one interval with it; what it had handed over stays in the sum
(`Merged`), so that counters never fall.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import zip_longest
from math import inf

from gateway.core.clock import Clock, wall_s
from gateway.core.records import RequestRecord
from gateway.telemetry.executions import SIZES_A_PART, Executions
from gateway.telemetry.plugin_series import PluginSums
from gateway.telemetry.series import (
    BATCH_BOUNDS,
    LATENCY_BOUNDS_S,
    OK,
    ExecutionSeries,
    FrontReport,
    Gauges,
    Histogram,
    QueueDepth,
    Series,
)

# Up to 1.9 KB each in msgpack (a long name, every reason, every count large); a control packet carries
# 128 KiB, 30 of them for executions.
_SERIES_A_PACKET = 48
# What an ExecutionSeries takes beside its sizes, its model's name above all, as a number of sizes.
_PART_SIZES = 8

Labels = tuple[str, int, str]
Model = tuple[str, int]


class _Buckets:
    """A histogram while it is counted in.

    Values come in runs of one bucket, above all those that are of a batch: so they are compared with the
    last one's limits before its bucket is looked up, 0.02 us instead of 0.15 (compiled).
    Invariant: bucket `_at` holds what is above `_low` and at most `_high`; `_run` of that are not yet
    in `counts`.
    """

    __slots__ = ("_at", "_high", "_low", "_run", "bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._at = 0
        self._low = -inf
        self._high = bounds[0]
        self._run = 0

    def observe(self, value: float) -> None:
        """Counts `value` in the first bucket whose bound is not below it."""
        if not self._low < value <= self._high:
            self._move(value)
        self._run += 1
        self.total += value

    def _move(self, value: float) -> None:
        bounds = self.bounds
        self.counts[self._at] += self._run
        self._run = 0
        self._at = at = bisect_left(bounds, value)
        self._low = bounds[at - 1] if at else -inf
        self._high = bounds[at] if at < len(bounds) else inf

    def histogram(self) -> Histogram:
        """What was counted so far."""
        self.counts[self._at] += self._run
        self._run = 0
        return Histogram(self.bounds, self.counts, self.total)


class _Tally:
    """What a front has counted of one (model, version, protocol); `failures` by their reasons."""

    __slots__ = (
        "answered",
        "batch_rows",
        "cold",
        "compute",
        "duration",
        "failed_queue_s",
        "failed_s",
        "failures",
        "is_changed",
        "labels",
        "queue",
    )

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.is_changed = False  # since it was last handed over
        self.answered = 0
        self.failures: dict[str, int] = {}
        self.duration = _Buckets(LATENCY_BOUNDS_S)
        self.queue = _Buckets(LATENCY_BOUNDS_S)
        self.compute = _Buckets(LATENCY_BOUNDS_S)
        self.batch_rows = _Buckets(BATCH_BOUNDS)
        self.cold = 0
        self.failed_s = 0.0
        self.failed_queue_s = 0.0

    def series(self) -> Series:
        """What was counted so far, as it travels; to be encoded before the next request is counted."""
        return Series(
            *self.labels,
            {OK: self.answered, **self.failures} if self.answered else self.failures,
            self.duration.histogram(),
            self.queue.histogram(),
            self.compute.histogram(),
            self.batch_rows.histogram(),
            self.cold,
            self.failed_s,
            self.failed_queue_s,
        )


class Counters:
    """A front's record sink; one call per request, 1 us. `wall` is the time that people know."""

    def __init__(self, wall: Clock = wall_s) -> None:
        self._wall = wall
        self._tallies: dict[Labels, _Tally] = {}
        self._last = _Tally(("", 0, ""))  # counted in last; no request has no protocol
        self._changed: list[_Tally] = []
        self._executions: dict[Model, Executions] = {}
        self.finished = 0  # requests, whatever became of them

    def record(self, record: RequestRecord) -> None:
        """Counts one finished request."""
        self.finished += 1
        tally = self._last
        model, version, protocol = tally.labels
        if record.model != model or record.version != version or record.protocol != protocol:
            tally = self._last = self._tally((record.model, record.version, record.protocol))
        if not tally.is_changed:
            tally.is_changed = True
            self._changed.append(tally)
        reason = record.reason
        if reason is None:
            tally.answered += 1
        else:
            tally.failures[reason.value] = tally.failures.get(reason.value, 0) + 1
            tally.failed_s += record.duration_s
            tally.failed_queue_s += record.queue_s
        tally.duration.observe(record.duration_s)
        rows = record.batch_rows
        if rows:
            tally.queue.observe(record.queue_s)
            tally.compute.observe(record.compute_s)
            tally.batch_rows.observe(float(rows))
        if record.is_cold:
            tally.cold += 1

    def _tally(self, labels: Labels) -> _Tally:
        found = self._tallies.get(labels)
        if found is None:
            found = self._tallies[labels] = _Tally(labels)
        return found

    def executions(self, model: str, version: int) -> Executions:
        """What counts the batches of one model version: the same one every time."""
        found = self._executions.get((model, version))
        if found is None:
            found = self._executions[model, version] = Executions(model, version, self._wall)
        return found

    def reports(self, gauges: Gauges | None = None) -> list[FrontReport]:
        """What to hand over now: everything that changed since the last call, in packets."""
        changed = [tally.series() for tally in sorted(self._changed, key=_labels)]
        for tally in self._changed:
            tally.is_changed = False
        self._changed.clear()
        series = [changed[at : at + _SERIES_A_PACKET] for at in range(0, len(changed), _SERIES_A_PACKET)]
        executions = self._changed_executions()
        packets = [
            FrontReport(some or [], None, more or []) for some, more in zip_longest(series, executions)
        ]
        if gauges is not None:
            first = packets[0] if packets else FrontReport([])
            packets[:1] = [FrontReport(first.series, gauges, first.executions)]
        return packets

    def _changed_executions(self) -> list[list[ExecutionSeries]]:
        """In packets of a bounded number of sizes."""
        packets: list[list[ExecutionSeries]] = []
        room = 0
        for key in sorted(self._executions):
            one = self._executions[key]
            if not one.is_changed:
                continue
            for part in one.parts():
                room -= part.weight + _PART_SIZES
                if room < 0:
                    packets.append([])
                    room = SIZES_A_PART - part.weight
                packets[-1].append(part)
        return packets


class Merged:
    """All fronts' reports as one; a front's successor starts from zero without making a sum fall."""

    def __init__(self) -> None:
        self._current: dict[int, dict[Labels, Series]] = {}
        self._gauges: dict[int, Gauges] = {}
        self._gone: dict[Labels, Series] = {}
        self._gone_failures: dict[tuple[str, str, str], int] = {}
        self._executions: dict[int, dict[Model, ExecutionSeries]] = {}
        self._gone_executions: dict[Model, ExecutionSeries] = {}
        self.plugins = PluginSums()

    def update(self, front: int, report: FrontReport) -> None:
        """Replaces what is known of `front` by its newer, larger counts."""
        known = self._current.setdefault(front, {})
        for series in report.series:
            known[series.model, series.version, series.protocol] = series
        ran = self._executions.setdefault(front, {})
        for part in report.executions:
            ran.setdefault((part.model, part.version), part).take(part)
        self.plugins.update(front, report.plugins)
        if report.gauges is not None:
            self._gauges[front] = report.gauges

    def retire(self, front: int) -> None:
        """Keeps what a dead front had counted, and forgets its gauges."""
        _add_all(self._gone, self._current.pop(front, {}))
        _add_executions(self._gone_executions, self._executions.pop(front, {}))
        _add_failures(self._gone_failures, self._gauges.pop(front, None))
        self.plugins.retire(front)

    def series(self, model: str = "") -> list[Series]:
        """The sums, in a stable order; those of one model, or of all."""
        sums: dict[Labels, Series] = {}
        _add_all(sums, self._gone, model)
        for known in self._current.values():
            _add_all(sums, known, model)
        return [sums[key] for key in sorted(sums)]

    def executions(self, model: str = "") -> dict[Model, ExecutionSeries]:
        """The sums over batches; those of one model, or of all."""
        sums: dict[Model, ExecutionSeries] = {}
        _add_executions(sums, self._gone_executions, model)
        for known in self._executions.values():
            _add_executions(sums, known, model)
        return sums

    def queues(self) -> list[QueueDepth]:
        """The gauges, summed over fronts."""
        sums: dict[tuple[str, int], tuple[int, int]] = {}
        for gauges in self._gauges.values():
            for depth in gauges.queues:
                key = (depth.model, depth.version)
                waiting, in_flight = sums.get(key, (0, 0))
                sums[key] = (waiting + depth.waiting, in_flight + depth.in_flight)
        return [QueueDepth(*key, *sums[key]) for key in sorted(sums)]

    def connections(self) -> int:
        """Open connections over all fronts."""
        return sum(gauges.connections for gauges in self._gauges.values())

    def plugin_failures(self) -> dict[tuple[str, str, str], int]:
        """How often plugins failed, by plugin, hook and way."""
        sums = dict(self._gone_failures)
        for gauges in self._gauges.values():
            _add_failures(sums, gauges)
        return sums


def _labels(tally: _Tally) -> Labels:
    return tally.labels


def _add_all(sums: dict[Labels, Series], more: dict[Labels, Series], model: str = "") -> None:
    for key, series in more.items():
        if model and series.model != model:
            continue
        if key not in sums:
            sums[key] = Series.of(*key)
        sums[key].add(series)


def _add_failures(sums: dict[tuple[str, str, str], int], gauges: Gauges | None) -> None:
    if gauges is not None:
        for plugin, hook, way, count in gauges.plugin_failures:
            sums[plugin, hook, way] = sums.get((plugin, hook, way), 0) + count


def _add_executions(
    sums: dict[Model, ExecutionSeries], more: dict[Model, ExecutionSeries], model: str = ""
) -> None:
    for key, series in more.items():
        if model and series.model != model:
            continue
        if key not in sums:
            sums[key] = ExecutionSeries(*key, {})
        sums[key].add(series)
