"""A front's counters: plain integers, handed to the controller once a second, merged there.

Histograms have fixed bounds, so that merging is adding. A front that dies takes at most one interval
with it; what it had handed over stays in the sum (`Merged`), so that counters never fall.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from gateway.core.records import RequestRecord

# Seconds; from a hot micro-model to a stuck one, a factor of about 2 each.
LATENCY_BOUNDS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
BATCH_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

OK = "OK"


class Histogram(msgspec.Struct):
    """Counts per bucket (the last is +Inf), not cumulative, and the sum of what was observed."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        """An empty one."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def observe(self, value: float) -> None:
        """Counts `value` in the first bucket whose bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Adds what `other` (of the same bounds) counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Series(msgspec.Struct):
    """Everything counted about one (model, version, protocol)."""

    model: str
    version: int
    protocol: str
    outcomes: dict[str, int]
    duration: Histogram
    queue: Histogram
    compute: Histogram
    batch_rows: Histogram
    cold: int = 0

    @classmethod
    def of(cls, model: str, version: int, protocol: str) -> Series:
        """An empty one."""
        latency = LATENCY_BOUNDS_S
        return cls(
            model, version, protocol, {},
            Histogram.of(latency), Histogram.of(latency), Histogram.of(latency), Histogram.of(BATCH_BOUNDS),
        )  # fmt: skip

    def add(self, other: Series) -> None:
        """Adds what `other` of the same labels counted."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.duration.add(other.duration)
        self.queue.add(other.queue)
        self.compute.add(other.compute)
        self.batch_rows.add(other.batch_rows)
        self.cold += other.cold


class QueueDepth(msgspec.Struct, frozen=True):
    """A gauge: what waits and runs now for one model version in one front."""

    model: str
    version: int
    waiting: int
    in_flight: int


class Gauges(msgspec.Struct, frozen=True):
    """What a front's state is now."""

    queues: tuple[QueueDepth, ...]
    connections: int
    protocol_errors: dict[str, int]


class FrontReport(msgspec.Struct, frozen=True):
    """One packet of what a front hands over: series are cumulative since its start.

    Only series that changed are sent, at most `_SERIES_A_PACKET` in one packet; `gauges` come with the first.
    """

    series: list[Series]
    gauges: Gauges | None = None


# About 400 bytes each in msgpack; a control packet carries 128 KiB.
_SERIES_A_PACKET = 128

Labels = tuple[str, int, str]


class Counters:
    """A front's record sink; one call per request, 1 us."""

    def __init__(self) -> None:
        self._series: dict[Labels, Series] = {}
        self._changed: set[Labels] = set()

    def record(self, record: RequestRecord) -> None:
        """Counts one finished request."""
        key = (record.model, record.version, record.protocol)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series.of(*key)
        self._changed.add(key)
        reason = record.reason
        outcome = OK if reason is None else reason.value
        outcomes = series.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        series.duration.observe(record.duration_s)
        if record.batch_rows:
            series.queue.observe(record.queue_s)
            series.compute.observe(record.compute_s)
            series.batch_rows.observe(record.batch_rows)
        if record.is_cold:
            series.cold += 1

    def reports(self, gauges: Gauges) -> list[FrontReport]:
        """What to hand over now: everything that changed since the last call, in packets."""
        changed = [self._series[key] for key in sorted(self._changed)]
        self._changed.clear()
        packets = [FrontReport(changed[:_SERIES_A_PACKET], gauges)]
        for at in range(_SERIES_A_PACKET, len(changed), _SERIES_A_PACKET):
            packets.append(FrontReport(changed[at : at + _SERIES_A_PACKET]))
        return packets


class Merged:
    """All fronts' reports as one; a front's successor starts from zero without making a sum fall."""

    def __init__(self) -> None:
        self._current: dict[int, dict[Labels, Series]] = {}
        self._gauges: dict[int, Gauges] = {}
        self._gone: dict[Labels, Series] = {}

    def update(self, front: int, report: FrontReport) -> None:
        """Replaces what is known of `front` by its newer, larger counts."""
        known = self._current.setdefault(front, {})
        for series in report.series:
            known[series.model, series.version, series.protocol] = series
        if report.gauges is not None:
            self._gauges[front] = report.gauges

    def retire(self, front: int) -> None:
        """Keeps what a dead front had counted, and forgets its gauges."""
        _add_all(self._gone, self._current.pop(front, {}))
        self._gauges.pop(front, None)

    def series(self) -> list[Series]:
        """The sums, in a stable order."""
        sums: dict[Labels, Series] = {}
        _add_all(sums, self._gone)
        for known in self._current.values():
            _add_all(sums, known)
        return [sums[key] for key in sorted(sums)]

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


def _add_all(sums: dict[Labels, Series], more: dict[Labels, Series]) -> None:
    for key, series in more.items():
        if key not in sums:
            sums[key] = Series.of(*key)
        sums[key].add(series)
