from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.errors import Reason
from gateway.core.records import RequestRecord
from gateway.telemetry.counters import Counters, Merged
from gateway.telemetry.series import Gauges, QueueDepth
from gateway.telemetry.triton_names import render_as_triton

NAMES = (
    "request_success", "request_failure", "request_duration_us", "queue_duration_us",
    "compute_infer_duration_us", "pending_request_count",
)  # fmt: skip


def page(*records, queues=()):
    counters, merged = Counters(), Merged()
    for record in records:
        counters.record(record)
    for report in counters.reports(Gauges(queues, 0, {})):
        merged.update(0, report)
    return render_as_triton(merged).decode()


def samples(text):
    """By name and label values; the parser itself puts _total behind a counter's name."""
    return {
        (family.name.removeprefix("nv_inference_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_protocols_are_one_and_failures_have_an_owner():
    found = samples(
        page(
            RequestRecord("m", 1, "grpc", None, 0.002, 0.001, 0.0005, 1, 3),
            RequestRecord("m", 1, "rest", None, 0.003, 0.002, 0.0005, 1, 3),
            RequestRecord("m", 1, "rest", Reason.OVERLOADED, 0.001),
            RequestRecord("m", 2, "rest", Reason.MODEL_FAILED, 0.001),
            RequestRecord("", 0, "rest", Reason.NOT_FOUND, 0.0),
            queues=(QueueDepth("m", 2, 5, 6), QueueDepth("n", 1, 7, 0)),
        )
    )
    assert found["request_success", "1", "m"] == 2
    assert found["request_success", "2", "m"] == 0
    assert found["request_failure", "1", "REJECTED", "m"] == 1
    assert found["request_failure", "2", "BACKEND", "m"] == 1
    assert found["request_duration_us", "1", "m"] == 6000
    assert found["queue_duration_us", "1", "m"] == 3000
    assert found["compute_infer_duration_us", "1", "m"] == 1000
    assert [found["pending_request_count", *key] for key in (("1", "m"), ("2", "m"), ("1", "n"))] == [0, 5, 7]
    assert all("m" in key or "n" in key for key in found)


@pytest.mark.parametrize("reason", Reason)
def test_every_failure_is_counted_once(reason):
    found = samples(page(RequestRecord("m", 1, "rest", reason, 0.0)))
    assert sum(value for key, value in found.items() if key[0] == "request_failure") == 1


def test_the_page_is_well_formed_before_the_first_request():
    text = page()
    for name in NAMES:
        assert f"# TYPE nv_inference_{name} " in text
    assert samples(text) == {}
