"""What all fronts have counted, as statistics of model versions."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core.statistics import BatchStatistics, ResponseStatistics, Spent, VersionStatistics
from gateway.telemetry.counters import Merged, Model
from gateway.telemetry.series import OK, BatchSums, ExecutionSeries, ResponseSums, Series


class _Requests(msgspec.Struct):
    """Requests of one model version over all protocols."""

    answered: int = 0
    failed: int = 0
    total_s: float = 0.0
    failed_s: float = 0.0
    queue_s: float = 0.0

    def add(self, series: Series) -> None:
        answered = series.outcomes.get(OK, 0)
        self.answered += answered
        self.failed += sum(series.outcomes.values()) - answered
        self.total_s += series.duration.total
        self.failed_s += series.failed_s
        self.queue_s += series.queue.total - series.failed_queue_s


def statistics(merged: Merged, model: str = "") -> list[VersionStatistics]:
    """Of every version that was ever called, by name and number; those of one model, or of all."""
    requests: dict[Model, _Requests] = {}
    for series in merged.series(model):
        if series.model and series.version:  # else it was never understood, or there is no such model
            requests.setdefault((series.model, series.version), _Requests()).add(series)
    executions = merged.executions(model)
    keys = sorted({*requests, *executions})
    return [
        _version(key, requests.get(key, _Requests()), executions.get(key, ExecutionSeries(*key, {})))
        for key in keys
    ]


def _version(key: Model, requests: _Requests, ran: ExecutionSeries) -> VersionStatistics:
    answered, sizes = requests.answered, ran.batches

    def spent(of: Callable[[BatchSums], int], shared: int) -> Spent:
        return Spent(answered, max(0, sum(map(of, sizes.values())) + shared))

    return VersionStatistics(
        *key,
        int(ran.last_s * 1000),
        sum(size * sums.count for size, sums in sizes.items()) - ran.dropped_rows,
        sum(sums.count for sums in sizes.values()),
        Spent(answered, _ns(requests.total_s - requests.failed_s)),
        Spent(requests.failed, _ns(requests.failed_s)),
        Spent(answered, _ns(requests.queue_s)),
        spent(lambda sums: sums.input_ns, ran.shared_input_ns),
        spent(lambda sums: sums.infer_ns, ran.shared_infer_ns),
        spent(lambda sums: sums.output_ns, ran.shared_output_ns),
        tuple([_batch(size, sizes[size]) for size in sorted(sizes)]),
        tuple([_response(index, ran.responses[index]) for index in sorted(ran.responses)]),
    )


def _batch(size: int, sums: BatchSums) -> BatchStatistics:
    count = sums.count
    return BatchStatistics(
        size, Spent(count, sums.input_ns), Spent(count, sums.infer_ns), Spent(count, sums.output_ns)
    )


def _response(index: int, sums: ResponseSums) -> ResponseStatistics:
    return ResponseStatistics(
        index,
        Spent(sums.successes, sums.success_ns),
        Spent(sums.failures, sums.failure_ns),
        Spent(sums.empties, sums.empty_ns),
        Spent(sums.cancels, sums.cancel_ns),
    )


def _ns(seconds: float) -> int:
    return max(0, round(seconds * 1e9))
