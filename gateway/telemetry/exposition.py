"""Prometheus text of what all fronts counted and what the controller knows; names are a public contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.telemetry.counters import Merged
from gateway.telemetry.device_series import device_families, render_devices_as_triton
from gateway.telemetry.machine import DeviceReading
from gateway.telemetry.plugin_series import plugin_families
from gateway.telemetry.series import Histogram
from gateway.telemetry.triton_names import render_as_triton

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Cold starts take tens of milliseconds here; the bounds resolve that.
LOAD_BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# For how long a model is unused before another takes its memory: seconds to days.
IDLE_BOUNDS_S = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 7 * 24 * 3600.0)

BREAKER_STATES = ("closed", "half_open", "open")

_REQUEST = ("model", "version", "protocol")
_MODEL = ("model", "version")


class LoadSeries(msgspec.Struct):
    """Loads of one model version: their results, and each phase's durations."""

    model: str
    version: int
    results: dict[str, int]
    phases: dict[str, Histogram]


class MemorySeries(msgspec.Struct):
    """Bytes of one device: what models may have in all, and what they have by stage."""

    device: str
    capacity_bytes: int
    stages: dict[str, int]


class UpstreamSeries(msgspec.Struct):
    """What the instances of one remote model version have counted, and how many are in each state."""

    model: str
    version: int
    states: dict[str, int]
    requests: int
    retries: int
    refused: int
    trips: int


class ControlFacts(Protocol):
    """What the controller itself counts."""

    def loads(self) -> Iterable[LoadSeries]:
        """Loads by model version."""

    def upstreams(self) -> Iterable[UpstreamSeries]:
        """What remote models counted, by model version."""

    def restarts(self) -> Mapping[tuple[str, int], int]:
        """Workers that died, by model version."""

    def memory(self) -> Iterable[MemorySeries]:
        """Memory that models have, by device."""

    def evictions(self) -> Mapping[str, Histogram]:
        """Seconds that instances were unused before they made room, by device."""

    def states(self) -> Mapping[tuple[str, int], str]:
        """The state of each served version."""

    def process_restarts(self) -> Mapping[str, int]:
        """Deaths of fronts and zygotes, by kind."""


def render(
    merged: Merged,
    facts: ControlFacts,
    compat: Literal["none", "triton"] = "none",
    devices: Sequence[DeviceReading] = (),
) -> bytes:
    """The whole page; `compat` "triton" adds the names that Triton gives to the same things."""
    registry = CollectorRegistry()
    registry.register(_Page(merged, facts, devices))
    page = generate_latest(registry)
    if compat != "triton":
        return page
    return page + render_as_triton(merged) + render_devices_as_triton(devices)


class _Page(Collector):
    def __init__(self, merged: Merged, facts: ControlFacts, devices: Sequence[DeviceReading]) -> None:
        self._merged = merged
        self._facts = facts
        self._devices = devices

    def collect(self) -> Iterable[Metric]:
        yield from _requests(self._merged)
        yield from _gauges(self._merged)
        yield from _loads(self._facts)
        yield from device_families(self._devices)
        yield from _memory(self._facts)
        yield from _upstreams(self._facts)
        yield from plugin_families(self._merged.plugins)


def _requests(merged: Merged) -> Iterable[Metric]:
    requests = CounterMetricFamily(
        "gateway_requests", "Inference requests by outcome.", labels=(*_REQUEST, "outcome")
    )
    cold = CounterMetricFamily(
        "gateway_cold_requests", "Requests that waited for their model to load.", labels=_REQUEST
    )
    families = {
        "duration": HistogramMetricFamily(
            "gateway_request_duration_seconds", "From decoded to answered.", labels=_REQUEST
        ),
        "queue": HistogramMetricFamily(
            "gateway_queue_duration_seconds", "From admission to being sent to a worker.", labels=_REQUEST
        ),
        "compute": HistogramMetricFamily(
            "gateway_compute_duration_seconds", "Run time of the batch in the engine.", labels=_REQUEST
        ),
        "batch_rows": HistogramMetricFamily(
            "gateway_batch_rows", "Rows of the batch a request ran in.", labels=_REQUEST
        ),
    }
    for series in merged.series():
        labels = [series.model, str(series.version), series.protocol]
        for outcome, count in sorted(series.outcomes.items()):
            requests.add_metric([*labels, outcome], count)
        cold.add_metric(labels, series.cold)
        for name, family in families.items():
            _add_histogram(family, labels, getattr(series, name))
    return [requests, cold, *families.values()]


def _gauges(merged: Merged) -> Iterable[Metric]:
    waiting = GaugeMetricFamily("gateway_queue_depth", "Requests waiting now.", labels=_MODEL)
    in_flight = GaugeMetricFamily("gateway_in_flight", "Requests in workers now.", labels=_MODEL)
    for depth in merged.queues():
        labels = [depth.model, str(depth.version)]
        waiting.add_metric(labels, depth.waiting)
        in_flight.add_metric(labels, depth.in_flight)
    connections = GaugeMetricFamily("gateway_connections", "Open client connections.")
    connections.add_metric([], merged.connections())
    return [waiting, in_flight, connections, _plugins(merged)]


def _plugins(merged: Merged) -> Metric:
    failures = CounterMetricFamily(
        "gateway_plugin_failures", "Failures of plugins in fronts.", labels=("plugin", "hook", "kind")
    )
    for labels, count in sorted(merged.plugin_failures().items()):
        failures.add_metric(labels, count)
    return failures


def _loads(facts: ControlFacts) -> Iterable[Metric]:
    loads = CounterMetricFamily("gateway_model_loads", "Loads by result.", labels=(*_MODEL, "result"))
    phases = HistogramMetricFamily(
        "gateway_cold_start_phase_seconds", "Parts of a cold start.", labels=(*_MODEL, "phase")
    )
    for load in facts.loads():
        labels = [load.model, str(load.version)]
        for result, count in sorted(load.results.items()):
            loads.add_metric([*labels, result], count)
        for phase, histogram in sorted(load.phases.items()):
            _add_histogram(phases, [*labels, phase], histogram)
    restarts = CounterMetricFamily("gateway_worker_restarts", "Workers that died.", labels=_MODEL)
    for (model, version), count in sorted(facts.restarts().items()):
        restarts.add_metric([model, str(version)], count)
    processes = CounterMetricFamily(
        "gateway_process_restarts", "Fronts and zygotes that died.", labels=("kind",)
    )
    for kind, count in sorted(facts.process_restarts().items()):
        processes.add_metric([kind], count)
    state = GaugeMetricFamily(
        "gateway_model_state", "1 for the state a version is in.", labels=(*_MODEL, "state")
    )
    for (model, version), name in sorted(facts.states().items()):
        state.add_metric([model, str(version), name], 1)
    return [loads, phases, restarts, processes, state]


def _memory(facts: ControlFacts) -> Iterable[Metric]:
    capacity = GaugeMetricFamily(
        "gateway_model_memory_capacity_bytes", "Memory that models may have.", labels=("device",)
    )
    taken = GaugeMetricFamily(
        "gateway_model_memory_bytes",
        "Memory that models have: reserved for a load, loaded, leaving, or asleep.",
        labels=("device", "stage"),
    )
    for series in facts.memory():
        capacity.add_metric([series.device], series.capacity_bytes)
        for stage, size_bytes in sorted(series.stages.items()):
            taken.add_metric([series.device, stage], size_bytes)
    evictions = HistogramMetricFamily(
        "gateway_eviction_unused_seconds",
        "How long instances that made room for others had not been used.",
        labels=("device",),
    )
    for device, histogram in facts.evictions().items():
        _add_histogram(evictions, [device], histogram)
    return [capacity, taken, evictions]


def _upstreams(facts: ControlFacts) -> Iterable[Metric]:
    counters = {
        "requests": CounterMetricFamily(
            "gateway_upstream_requests", "Batches for a remote model's upstream.", labels=_MODEL
        ),
        "retries": CounterMetricFamily(
            "gateway_upstream_retries", "Those that were sent once more.", labels=_MODEL
        ),
        "refused": CounterMetricFamily(
            "gateway_upstream_refused", "Those that an open circuit breaker refused.", labels=_MODEL
        ),
        "trips": CounterMetricFamily(
            "gateway_upstream_breaker_trips", "Times that a circuit breaker opened.", labels=_MODEL
        ),
    }
    state = GaugeMetricFamily(
        "gateway_upstream_breaker_state",
        "Instances by the state of their breaker.",
        labels=(*_MODEL, "state"),
    )
    for series in facts.upstreams():
        labels = [series.model, str(series.version)]
        for name, family in counters.items():
            family.add_metric(labels, getattr(series, name))
        for name in BREAKER_STATES:
            state.add_metric([*labels, name], series.states.get(name, 0))
    return [*counters.values(), state]


def _add_histogram(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*map(repr, histogram.bounds), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric(labels, buckets, histogram.total)
