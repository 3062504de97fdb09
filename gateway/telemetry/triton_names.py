"""What is counted here under the names that Triton gives to it, for dashboards that know those.

Only what is measured: no division of compute into input, inference and output, and no counts of
inferences and executions yet. Durations hold failed requests too, where Triton's hold successful ones.
Written by hand, because prometheus_client ends every counter's name in _total and Triton none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from gateway.core.errors import Reason
from gateway.telemetry.counters import Merged
from gateway.telemetry.series import OK

# Whose fault a failure was, in Triton's words; what is not here is OTHER.
_REASONS: Mapping[str, str] = MappingProxyType({
    Reason.OVERLOADED.value: "REJECTED",
    Reason.QUOTA_EXCEEDED.value: "REJECTED",
    Reason.CANCELLED.value: "CANCELED",
    Reason.MODEL_FAILED.value: "BACKEND",
    Reason.INSTANCE_DIED.value: "BACKEND",
})
_KINDS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")

_Model = tuple[str, int]


class _Sums(msgspec.Struct):
    """One model version over all protocols."""

    success: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(_KINDS, 0))
    request_us: int = 0
    queue_us: int = 0
    compute_us: int = 0


def render_as_triton(merged: Merged) -> bytes:
    """The families, in Prometheus' text format."""
    sums = _sums(merged)
    waiting = {(depth.model, depth.version): depth.waiting for depth in merged.queues()}
    lines = [
        *_opening("request_success", "counter", "Requests that were answered."),
        *[_sample("request_success", key, one.success) for key, one in sums.items()],
        *_opening("request_failure", "counter", "Requests that were not, by whose fault that was."),
        *[
            _sample("request_failure", key, count, f',reason="{kind}"')
            for key, one in sums.items()
            for kind, count in one.failures.items()
        ],
        *_opening("request_duration_us", "counter", "From decoded to answered, summed over requests."),
        *[_sample("request_duration_us", key, one.request_us) for key, one in sums.items()],
        *_opening("queue_duration_us", "counter", "From admitted to sent to a worker, summed over requests."),
        *[_sample("queue_duration_us", key, one.queue_us) for key, one in sums.items()],
        *_opening("compute_infer_duration_us", "counter", "Run time of each request's batch, summed."),
        *[_sample("compute_infer_duration_us", key, one.compute_us) for key, one in sums.items()],
        *_opening("pending_request_count", "gauge", "Requests waiting now."),
        *[_sample("pending_request_count", key, waiting.get(key, 0)) for key in sorted({*sums, *waiting})],
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _sums(merged: Merged) -> dict[_Model, _Sums]:
    sums: dict[_Model, _Sums] = {}
    for series in merged.series():
        if not series.model:  # never understood, or of a model there is not: Triton counts neither
            continue
        one = sums.setdefault((series.model, series.version), _Sums())
        for outcome, count in series.outcomes.items():
            if outcome == OK:
                one.success += count
            else:
                one.failures[_REASONS.get(outcome, "OTHER")] += count
        one.request_us += round(series.duration.total * 1e6)
        one.queue_us += round(series.queue.total * 1e6)
        one.compute_us += round(series.compute.total * 1e6)
    return sums


def _opening(name: str, kind: str, told: str) -> Iterable[str]:
    return (f"# HELP nv_inference_{name} {told}", f"# TYPE nv_inference_{name} {kind}")


def _sample(name: str, key: _Model, value: int, more: str = "") -> str:
    """One line; a model's name needs no escaping, `core.model.check_name` allows nothing that would."""
    model, version = key
    return f'nv_inference_{name}{{model="{model}",version="{version}"{more}}} {value}'
