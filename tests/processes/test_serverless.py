"""Many models, few in memory: short forms of what tests/bench/serverless measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.serverless import models, stories
from tests.fakes.gateway_process import gateway
from tests.fakes.waiting import until_blocking

# Decisions ten times as often as by default, so that a test need not last for minutes.
BRISK = {"GATEWAY_SCALING__TICK_S": "0.1", "GATEWAY_TELEMETRY__FLUSH_S": "0.1"}
UNUSED_AT_ONCE = models.parameter("gateway.keep_alive", "0")


def test_many_requests_to_one_cold_model_are_one_load(tmp_path: Path) -> None:
    models.many(tmp_path, 1)
    with gateway(tmp_path, "--insecure-dev") as served:
        outcomes = stories.together(served, "m0", 200)
        assert stories.statuses(outcomes) == {200: 200}
        assert {one.value for one in outcomes} == {1.0}
        assert stories.loads_of(served, "m0") == 1


def test_to_zero_and_back_under_constant_requests(tmp_path: Path) -> None:
    models.many(tmp_path, 1, UNUSED_AT_ONCE)
    with gateway(tmp_path, "--insecure-dev", environment=BRISK) as served:
        outcomes = stories.probed(served, "m0", 50, lambda: stories.loads_of(served, "m0") >= 6, 60.0)
        assert stories.statuses(outcomes) == {200: len(outcomes)}
        assert stories.loads_of(served, "m0") >= 6
        until_blocking(lambda: not served.processes("gateway-worker"))
        _, index, _ = served.ask("/v2/repository/index", {})
        assert [one["state"] for one in index] == ["READY"]


def test_a_request_says_how_long_it_stays(tmp_path: Path) -> None:
    models.many(tmp_path, 1)
    body = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 4], "data": [0.0] * 4}]}
    with gateway(tmp_path, "--insecure-dev", environment=BRISK) as served:
        for bad in ("soon", True, [1]):
            status, answer, _ = served.infer("m0", {**body, "parameters": {"keep_alive": bad}})
            assert (status, "keep_alive" in answer["error"]) == (400, True)
        status, _, _ = served.infer("m0", {**body, "parameters": {"keep_alive": "10m"}})
        assert status == 200
        assert served.processes("gateway-worker")
        status, _, _ = served.infer("m0", {**body, "parameters": {"keep_alive": 0}})
        assert status == 200
        until_blocking(lambda: not served.processes("gateway-worker"))


def test_some_are_loaded_without_a_request_and_stay(tmp_path: Path) -> None:
    models.many(tmp_path, 1, models.parameter("gateway.min_instances", "2") + UNUSED_AT_ONCE)
    with gateway(tmp_path, "--insecure-dev", environment=BRISK) as served:
        until_blocking(lambda: stories.loads_of(served, "m0") == 2)
        assert len(served.processes("gateway-worker")) == 2


def test_a_new_version_takes_over_without_a_failed_request(tmp_path: Path) -> None:
    models.versions(tmp_path, "m", 1)
    environment = {"GATEWAY_REPOSITORY__POLL_S": "0.2"}
    with gateway(tmp_path, "--insecure-dev", environment=environment) as served:
        switch = stories.switched(served, tmp_path, "m", 8)
        assert switch.failed == []
        assert switch.wrong == []
        assert switch.answered_by_the_gone == []
        assert {one.version for _, one in switch.outcomes} == {"1", "2"}


def test_a_new_version_that_cannot_be_loaded_leaves_the_old_one_serving(tmp_path: Path) -> None:
    models.versions(tmp_path, "m", 1)
    environment = {"GATEWAY_REPOSITORY__POLL_S": "0.1"}
    with gateway(tmp_path, "--insecure-dev", environment=environment) as served:
        assert stories.together(served, "m", 1)[0].value == 1.0
        (tmp_path / "m" / "2").mkdir()
        (tmp_path / "m" / "2" / "model.onnx").write_bytes(b"no model at all")
        until_blocking(
            lambda: "gives way to version 2: it failed: this one serves on" in served.log.read_text()
        )
        outcomes = stories.together(served, "m", 20)
        assert {(one.status, one.version) for one in outcomes} == {(200, "1")}


def test_models_take_turns_in_the_memory_there_is(tmp_path: Path) -> None:
    """Eight models of 40 MB and more, room for three of them: the least recently used make way."""
    for number in range(8):
        models.sized(tmp_path, f"m{number}", 40)
    environment = {
        **BRISK,
        "GATEWAY_DEVICES__HOST_MEMORY_BYTES": str(200 << 20),
        "GATEWAY_DEVICES__RESERVE_FRACTION": "0",
        "GATEWAY_MEMORY__MINIMUM_RESIDENCY_S": "0",
    }
    with gateway(tmp_path, "--insecure-dev", environment=environment) as served:
        for _ in range(2):
            for number in range(8):
                (outcome,) = stories.together(served, f"m{number}", 1)
                assert (outcome.status, outcome.value) == (200, 0.0), outcome.text
                assert len(served.processes("gateway-worker")) <= 5
        page = served.page()
        assert page['gateway_eviction_unused_seconds_count{device="cpu"}'] >= 8
        assert page['gateway_model_memory_bytes{device="cpu",stage="loaded"}'] <= 200 << 20


def test_what_can_never_fit_says_how_much_is_lacking(tmp_path: Path) -> None:
    models.sized(tmp_path, "large", 40)
    environment = {
        "GATEWAY_DEVICES__HOST_MEMORY_BYTES": str(20 << 20),
        "GATEWAY_DEVICES__RESERVE_FRACTION": "0",
    }
    with gateway(tmp_path, "--insecure-dev", environment=environment) as served:
        (outcome,) = stories.together(served, "large", 1)
        assert outcome.status == 503
        assert "bytes are needed on the CPU, and there are 20971520 at most" in outcome.text


@pytest.mark.parametrize("kind", ["gateway-spare", "gateway-zygote"])
def test_a_cold_start_does_not_need_whoever_was_killed(tmp_path: Path, kind: str) -> None:
    models.many(tmp_path, 1)
    with gateway(tmp_path, "--insecure-dev") as served:
        until_blocking(lambda: served.processes("gateway-spare"))
        served.kill(served.processes(kind)[0])
        (outcome,) = stories.together(served, "m0", 1)
        assert (outcome.status, outcome.value) == (200, 1.0)
        until_blocking(lambda: served.processes("gateway-spare"))


def test_what_was_used_last_is_loaded_after_a_restart(tmp_path: Path) -> None:
    models.many(tmp_path / "models", 3)
    uses = tmp_path / "uses.json"
    uses.write_text('{"m2": 5.0, "m0": 9.0, "m1": 1.0}')
    environment = {"GATEWAY_PREFETCH__FILE": str(uses), "GATEWAY_PREFETCH__AT_START": "2"}
    with gateway(tmp_path / "models", "--insecure-dev", environment=environment) as served:
        until_blocking(lambda: stories.loads_of(served, "m0") + stories.loads_of(served, "m2") == 2)
        assert stories.loads_of(served, "m1") == 0
        assert len(served.processes("gateway-worker")) == 2
