"""The result of a measurement: a value, and the JSON that other programs read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.cli.bench.histogram import Histogram, merge
from gateway.cli.bench.plan import Plan
from gateway.cli.bench.tally import Outcome

SCHEMA_VERSION = 1


class Latency(msgspec.Struct, frozen=True):
    """Of successful requests, milliseconds; in the open loop from when each was due. Error below 0.4 %."""

    mean_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One load. Requests, unless said otherwise, are those of the measured window.

    `load` is the concurrency (mode "closed") or the rate asked for (mode "open"). `rate` counts
    successes. `late` were sent more than 1 ms after they were due, `lag_p99_ms` is how late, `unsent`
    were due and not sent when the time was over: all three only in the open loop. `resent` were handed
    back unprocessed by a server's GOAWAY. `generator_cpu` is CPU seconds a second of the busiest
    process: near 1 the generator is what was measured. `examples` is what was said with the first
    error of each kind.
    """

    mode: str
    load: float
    duration_s: float
    requests: int
    failed: int
    rate: float
    rows_per_s: float
    latency: Latency
    errors: dict[str, int]
    examples: dict[str, str]
    late: int
    lag_p99_ms: float
    unsent: int
    resent: int
    reconnects: int
    sent_bytes_per_s: float
    received_bytes_per_s: float
    generator_cpu: float
    generator_us_per_request: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints: one object; fields are added, never changed, within a `schema_version`."""

    schema_version: int = SCHEMA_VERSION
    tool: str = "gateway bench"
    model: str
    version: str
    url: str
    protocol: str
    arrivals: str
    batch: int
    connections: int
    processes: int
    unique_metadata: bool
    request_tensor_bytes: int
    results: tuple[Result, ...]

    @property
    def has_failures(self) -> bool:
        return any(result.failed for result in self.results)


def summarise(plan: Plan, outcomes: Sequence[Outcome]) -> Result:
    """One result of what all processes saw."""
    latency = merge(outcome.latency for outcome in outcomes)
    lag = merge(outcome.lag for outcome in outcomes)
    duration_s = max(outcome.window_s for outcome in outcomes)
    errors = _summed([outcome.errors for outcome in outcomes])
    failed = sum(errors.values())
    handled = latency.count + failed
    cpu_s = sum(outcome.cpu_s for outcome in outcomes)
    rate = latency.count / duration_s
    return Result(
        mode="open" if plan.is_open_loop else "closed",
        load=plan.load,
        duration_s=duration_s,
        requests=latency.count,
        failed=failed,
        rate=rate,
        rows_per_s=rate * plan.batch,
        latency=_latency(latency),
        errors=errors,
        examples={kind: text for outcome in reversed(outcomes) for kind, text in outcome.examples.items()},
        late=sum(outcome.late for outcome in outcomes),
        lag_p99_ms=lag.percentile_s(0.99) * 1e3,
        unsent=sum(outcome.unsent for outcome in outcomes),
        resent=sum(outcome.resent for outcome in outcomes),
        reconnects=sum(outcome.reconnects for outcome in outcomes),
        sent_bytes_per_s=sum(outcome.bytes_out for outcome in outcomes) / duration_s,
        received_bytes_per_s=sum(outcome.bytes_in for outcome in outcomes) / duration_s,
        generator_cpu=max(outcome.cpu_s / outcome.window_s for outcome in outcomes),
        generator_us_per_request=cpu_s / handled * 1e6 if handled else 0.0,
    )


def make_report(plan: Plan, request_tensor_bytes: int, results: Sequence[Result]) -> Report:
    """The results of a sweep with what they have in common."""
    return Report(
        model=plan.model,
        version=plan.version,
        url=plan.url,
        protocol=plan.protocol,
        arrivals=plan.arrivals if plan.is_open_loop else "closed",
        batch=plan.batch,
        connections=plan.connection_count,
        processes=plan.processes,
        unique_metadata=plan.unique_metadata,
        request_tensor_bytes=request_tensor_bytes,
        results=tuple(results),
    )


def _latency(histogram: Histogram) -> Latency:
    at = histogram.percentile_s
    return Latency(
        mean_ms=histogram.mean_s * 1e3,
        min_ms=histogram.min_ns / 1e6 if histogram.count else 0.0,
        p50_ms=at(0.5) * 1e3,
        p90_ms=at(0.9) * 1e3,
        p95_ms=at(0.95) * 1e3,
        p99_ms=at(0.99) * 1e3,
        p999_ms=at(0.999) * 1e3,
        max_ms=histogram.max_ns / 1e6,
    )


def _summed(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    kinds = sorted({kind for part in counts for kind in part})
    return {kind: sum(part.get(kind, 0) for part in counts) for kind in kinds}
