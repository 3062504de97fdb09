from collections.abc import Iterable, Mapping

from prometheus_client.parser import text_string_to_metric_families

from gateway.core.errors import Reason
from gateway.core.records import RequestRecord
from gateway.telemetry.counters import Counters, Merged
from gateway.telemetry.exposition import (
    IDLE_BOUNDS_S,
    LOAD_BOUNDS_S,
    LoadSeries,
    MemorySeries,
    UpstreamSeries,
    render,
)
from gateway.telemetry.plugin_series import PluginSeries
from gateway.telemetry.series import FrontReport, Gauges, Histogram, QueueDepth


class Facts:
    def loads(self) -> Iterable[LoadSeries]:
        histogram = Histogram.of(LOAD_BOUNDS_S)
        histogram.observe(0.012)
        return [LoadSeries("m", 1, {"ok": 2, "failed": 1}, {"fork": histogram})]

    def upstreams(self) -> list[UpstreamSeries]:
        return [UpstreamSeries("far", 2, {"open": 1}, 10, 3, 2, 1)]

    def memory(self) -> list[MemorySeries]:
        return [MemorySeries("cpu", 100, {"reserved": 10, "loaded": 30})]

    def evictions(self) -> Mapping[str, Histogram]:
        histogram = Histogram.of(IDLE_BOUNDS_S)
        histogram.observe(45.0)
        return {"cpu": histogram}

    def restarts(self) -> Mapping[tuple[str, int], int]:
        return {("m", 1): 4}

    def states(self) -> Mapping[tuple[str, int], str]:
        return {("m", 1): "ready"}

    def process_restarts(self) -> Mapping[str, int]:
        return {"front": 1, "zygote": 0}


def samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    counters, merged = Counters(), Merged()
    counters.record(RequestRecord("m", 1, "grpc", None, 0.002, 0.001, 0.0001, 1, 3))
    counters.record(RequestRecord("", 0, "rest", Reason.NOT_FOUND, 0.0))
    for report in counters.reports(Gauges((QueueDepth("m", 1, 5, 6),), 7, {})):
        merged.update(0, report)
    text = render(merged, Facts()).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_promised_series_is_on_the_page() -> None:
    found = samples()

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    m = {"model": "m", "version": "1"}
    assert value("gateway_requests_total", **m, protocol="grpc", outcome="OK") == 1
    unknown = {"model": "", "version": "0", "protocol": "rest"}
    assert value("gateway_requests_total", **unknown, outcome="NOT_FOUND") == 1
    assert value("gateway_request_duration_seconds_bucket", **m, protocol="grpc", le="0.0025") == 1
    assert value("gateway_request_duration_seconds_bucket", **m, protocol="grpc", le="0.001") == 0
    assert value("gateway_request_duration_seconds_count", **m, protocol="grpc") == 1
    assert value("gateway_batch_rows_sum", **m, protocol="grpc") == 3
    assert value("gateway_queue_depth", **m) == 5
    assert value("gateway_in_flight", **m) == 6
    assert value("gateway_connections") == 7
    assert value("gateway_model_loads_total", **m, result="failed") == 1
    assert value("gateway_cold_start_phase_seconds_bucket", **m, phase="fork", le="0.02") == 1
    assert value("gateway_worker_restarts_total", **m) == 4
    assert value("gateway_process_restarts_total", kind="front") == 1
    assert value("gateway_model_memory_capacity_bytes", device="cpu") == 100
    assert value("gateway_model_memory_bytes", device="cpu", stage="loaded") == 30
    assert value("gateway_eviction_unused_seconds_bucket", device="cpu", le="60.0") == 1
    assert value("gateway_eviction_unused_seconds_bucket", device="cpu", le="10.0") == 0
    far = {"model": "far", "version": "2"}
    assert value("gateway_upstream_requests_total", **far) == 10
    assert value("gateway_upstream_retries_total", **far) == 3
    assert value("gateway_upstream_refused_total", **far) == 2
    assert value("gateway_upstream_breaker_trips_total", **far) == 1
    assert value("gateway_upstream_breaker_state", **far, state="open") == 1
    assert value("gateway_upstream_breaker_state", **far, state="closed") == 0
    assert value("gateway_model_state", **m, state="ready") == 1


def test_triton_names_only_on_request() -> None:
    assert b"nv_inference" not in render(Merged(), Facts())
    page = render(Merged(), Facts(), "triton")
    assert page.startswith(render(Merged(), Facts())[:40])
    assert b"\n# TYPE nv_inference_request_success counter\n" in page


def test_what_plugins_count_is_on_the_page() -> None:
    merged = Merged()
    series = PluginSeries("limits", "refusals", "counter", "Refused.", (("rule", "free"),), 3.0)
    merged.update(0, FrontReport([], plugins=[series]))
    merged.retire(0)
    assert 'gateway_plugin_limits_refusals_total{rule="free"} 3.0' in render(merged, Facts()).decode()
