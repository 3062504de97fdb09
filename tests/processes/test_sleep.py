"""Models that leave their GPU and come back, in whole gateways with a card that is only told of."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.processes.test_faults import LAB, add_model, body, oracle

ON_GPU = """
instance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]
parameters { key: "gateway.keep_alive" value { string_value: "200ms" } }
parameters { key: "gateway.sleep" value { string_value: "-1" } }
"""


@pytest.fixture(params=["gpus", "none"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Gateway]:
    """Once with a shared worker on the card, once with a worker for each."""
    for how in ("ok", "fail", "stay"):
        add_model(tmp_path, how, {"sleep": how})
        (tmp_path / how / "config.pbtxt").write_text(f'name: "{how}" backend: "onnxruntime" {ON_GPU}')
    path = os.pathsep.join([str(Path("tests/fakes/nvml_mig").absolute()), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path, "GATEWAY_SCALING__TICK_S": "0.1", "GATEWAY_WORKERS__SHARE": request.param}
    with gateway(tmp_path, environment={**LAB, **own}) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


def ask(served: Gateway, model: str) -> None:
    status, answer, _ = served.infer(model, body([3.0]))
    assert status == 200, answer
    assert answer["outputs"][0]["data"] == [oracle([3.0], 1)]


def comes_to(served: Gateway, model: str, state: str) -> None:
    sample = f'gateway_model_state{{model="{model}",state="{state}",version="1"}}'
    until_blocking(lambda: served.page().get(sample) == 1)


def phases(served: Gateway, model: str) -> dict[str, float]:
    """How often each part of its loads has been observed."""
    found = {}
    for sample, count in served.page().items():
        if sample.startswith("gateway_cold_start_phase_seconds_count") and f'model="{model}"' in sample:
            found[sample.partition('phase="')[2].partition('"')[0]] = count
    return found


def test_it_sleeps_and_wakes_where_it_was(served: Gateway) -> None:
    ask(served, "ok")
    workers = {one.pid for one in served.processes("gateway-worker")}
    for times in (1, 2):
        comes_to(served, "ok", "asleep")
        host = served.page()['gateway_model_memory_bytes{device="cpu",stage="asleep"}']
        assert host > 0
        ask(served, "ok")
        assert {one.pid for one in served.processes("gateway-worker")} == workers
        assert phases(served, "ok").items() >= {"wake": times, "load": 1}.items()
    comes_to(served, "ok", "asleep")
    for one in served.processes("gateway-worker"):
        os.kill(one.pid, signal.SIGKILL)
    comes_to(served, "ok", "absent")
    ask(served, "ok")
    assert phases(served, "ok")["load"] == 2


def test_what_cannot_sleep_or_wake_is_loaded_anew(served: Gateway) -> None:
    ask(served, "fail")
    comes_to(served, "fail", "absent")
    assert "could not sleep and is unloaded: it lies awake" in served.log.read_text()
    ask(served, "fail")
    ask(served, "stay")
    comes_to(served, "stay", "asleep")
    ask(served, "stay")
    assert phases(served, "stay")["load"] == 2


def test_one_that_the_repository_has_no_more_does_not_sleep_on(served: Gateway, tmp_path: Path) -> None:
    ask(served, "ok")
    comes_to(served, "ok", "asleep")
    shutil.rmtree(tmp_path / "ok")
    asleep = 'gateway_model_memory_bytes{device="cpu",stage="asleep"}'
    until_blocking(lambda: not served.page().get(asleep))
    assert served.infer("ok", body([3.0]))[0] == 404
