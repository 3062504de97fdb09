"""What is counted here under the names that Triton gives to it, for dashboards that know those.

Durations are those of answered requests, and a batch's count once for each request that shared it.
Written by hand, because prometheus_client ends every counter's name in _total and Triton none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from gateway.core.errors import Reason
from gateway.core.statistics import VersionStatistics
from gateway.telemetry.counters import Merged, Model
from gateway.telemetry.series import OK
from gateway.telemetry.statistics import statistics

# Whose fault a failure was, in Triton's words; what is not here is OTHER.
_REASONS: Mapping[str, str] = MappingProxyType({
    Reason.OVERLOADED.value: "REJECTED",
    Reason.QUEUE_TIMEOUT.value: "REJECTED",
    Reason.QUOTA_EXCEEDED.value: "REJECTED",
    Reason.CANCELLED.value: "CANCELED",
    Reason.MODEL_FAILED.value: "BACKEND",
    Reason.INSTANCE_DIED.value: "BACKEND",
})
_KINDS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")

# The counters of which there is one a model version: name, told, value.
_COUNTERS: tuple[tuple[str, str, Callable[[VersionStatistics], int]], ...] = (
    ("request_success", "Requests that were answered.", lambda one: one.success.count),
    ("count", "Rows of requests that were answered.", lambda one: one.inference_count),
    ("exec_count", "Batches that ran.", lambda one: one.execution_count),
    ("request_duration_us", "From decoded to answered, summed.", lambda one: one.success.ns // 1000),
    ("queue_duration_us", "From admitted to sent to a worker, summed.", lambda one: one.queue.ns // 1000),
    ("compute_input_duration_us", "Making of inputs, summed.", lambda one: one.compute_input.ns // 1000),
    (
        "compute_infer_duration_us",
        "Run time in the engine, summed.",
        lambda one: one.compute_infer.ns // 1000,
    ),
    ("compute_output_duration_us", "Taking of outputs, summed.", lambda one: one.compute_output.ns // 1000),
)


def render_as_triton(merged: Merged) -> bytes:
    """The families, in Prometheus' text format."""
    counted = {(one.name, one.version): one for one in statistics(merged)}
    lines: list[str] = []
    for name, told, value in _COUNTERS:
        lines += _opening(name, "counter", told)
        lines += [_sample(name, key, value(one)) for key, one in counted.items()]
    lines += _opening("request_failure", "counter", "Requests that were not, by whose fault that was.")
    lines += [
        _sample("request_failure", key, count, f',reason="{kind}"')
        for key, failures in _failures(merged).items()
        for kind, count in failures.items()
    ]
    waiting = {(depth.model, depth.version): depth.waiting for depth in merged.queues()}
    lines += _opening("pending_request_count", "gauge", "Requests waiting now.")
    lines += [
        _sample("pending_request_count", key, waiting.get(key, 0)) for key in sorted({*counted, *waiting})
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _failures(merged: Merged) -> dict[Model, dict[str, int]]:
    """By model version over all protocols, then by kind."""
    failures: dict[Model, dict[str, int]] = {}
    for series in merged.series():
        if not series.model:  # never understood, or of a model there is not: Triton counts neither
            continue
        one = failures.setdefault((series.model, series.version), dict.fromkeys(_KINDS, 0))
        for outcome, count in series.outcomes.items():
            if outcome != OK:
                one[_REASONS.get(outcome, "OTHER")] += count
    return failures


def _opening(name: str, kind: str, told: str) -> Iterable[str]:
    return (f"# HELP nv_inference_{name} {told}", f"# TYPE nv_inference_{name} {kind}")


def _sample(name: str, key: Model, value: int, more: str = "") -> str:
    """One line; a model's name needs no escaping, `core.model.check_name` allows nothing that would."""
    model, version = key
    return f'nv_inference_{name}{{model="{model}",version="{version}"{more}}} {value}'
