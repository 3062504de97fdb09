"""What is counted, as it travels from a front to the controller: series, histograms, gauges.

Histograms have fixed bounds, so that merging is adding. Apart from `counters`, which may be compiled:
msgspec makes its classes from annotations at run time.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from gateway.telemetry.plugin_series import PluginSeries

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
    # What of the sums of `duration` and `queue` belongs to requests that failed.
    failed_s: float = 0.0
    failed_queue_s: float = 0.0

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
        self.failed_s += other.failed_s
        self.failed_queue_s += other.failed_queue_s


class BatchSums(msgspec.Struct, array_like=True):
    """Batches of one size: how many, and the nanoseconds they took."""

    count: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def add(self, other: BatchSums) -> None:
        """Adds what `other` of the same size counted."""
        self.count += other.count
        self.input_ns += other.input_ns
        self.infer_ns += other.infer_ns
        self.output_ns += other.output_ns


class ResponseSums(msgspec.Struct, array_like=True):
    """Answers of one index, by how they went: how many, and the nanoseconds they took."""

    successes: int = 0
    success_ns: int = 0
    failures: int = 0
    failure_ns: int = 0
    empties: int = 0
    empty_ns: int = 0
    cancels: int = 0
    cancel_ns: int = 0

    def add(self, other: ResponseSums) -> None:
        """Adds what `other` of the same index counted."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class ExecutionSeries(msgspec.Struct, array_like=True):
    """The batches of one (model, version) by size.

    `shared_*` is what has to be added to the batches' sums, or taken away, for a sum over the requests
    they answered; `dropped_rows` likewise what is to be taken away from their rows.
    """

    model: str
    version: int
    batches: dict[int, BatchSums]
    shared_input_ns: int = 0
    shared_infer_ns: int = 0
    shared_output_ns: int = 0
    dropped_rows: int = 0
    last_s: float = 0.0  # since 1970; 0 before the first batch
    responses: dict[int, ResponseSums] = {}

    @property
    def weight(self) -> int:
        """How much of a packet it takes, as a number of batch sizes."""
        return len(self.batches) + 2 * len(self.responses)

    def take(self, newer: ExecutionSeries) -> None:
        """Replaces what is known by what `newer` says: it may hold some of the sizes only."""
        self.batches.update(newer.batches)
        self.shared_input_ns = newer.shared_input_ns
        self.shared_infer_ns = newer.shared_infer_ns
        self.shared_output_ns = newer.shared_output_ns
        self.dropped_rows = newer.dropped_rows
        self.last_s = newer.last_s
        self.responses.update(newer.responses)

    def add(self, other: ExecutionSeries) -> None:
        """Adds what `other` of the same labels counted."""
        for size, sums in other.batches.items():
            self.batches.setdefault(size, BatchSums()).add(sums)
        self.shared_input_ns += other.shared_input_ns
        self.shared_infer_ns += other.shared_infer_ns
        self.shared_output_ns += other.shared_output_ns
        self.dropped_rows += other.dropped_rows
        self.last_s = max(self.last_s, other.last_s)
        for index, told in other.responses.items():
            self.responses.setdefault(index, ResponseSums()).add(told)


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
    # By plugin, hook and way to fail: how often since the front began.
    plugin_failures: tuple[tuple[str, str, str, int], ...] = ()


class FrontReport(msgspec.Struct, frozen=True):
    """One packet of what a front hands over: series are cumulative since its start.

    Only series that changed are sent, a bounded number in one packet; `gauges` come with the first
    packet of those that are sent once a second.
    """

    series: list[Series]
    gauges: Gauges | None = None
    executions: list[ExecutionSeries] = []
    plugins: list[PluginSeries] = []
