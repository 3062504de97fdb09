"""Models that share worker processes, in a whole gateway: fewer processes, and whose end is whose."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.processes.test_faults import LAB, add_model, body

SHARED = {**LAB, "GATEWAY_WORKERS__SHARE": "all", "GATEWAY_WORKERS__SHARED_BY": "4"}
CRASHES = {"rows": {"666": {"do": "signal", "n": int(signal.SIGSEGV)}}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(5):
        add_model(tmp_path, f"m{number}", CRASHES if number == 0 else {})
    add_model(tmp_path, "hangs", {"rows": {"666": {"do": "hang"}}})
    return tmp_path


@pytest.fixture
def served(root: Path) -> Generator[Gateway]:
    with gateway(root, environment={**SHARED, "GATEWAY_WORKERS__HUNG_AFTER_S": "1"}) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


def ask(served: Gateway, *models: str) -> list[int]:
    return [served.infer(model, body([1.0]))[0] for model in models]


def workers(served: Gateway) -> int:
    return len(served.processes("gateway-worker"))


def test_many_models_have_few_processes(served: Gateway) -> None:
    assert ask(served, "m0", "m1", "m2", "m3") == [200] * 4
    assert workers(served) == 1
    assert ask(served, "m4") == [200]
    assert workers(served) == 2
    assert {served.infer(f"m{n}", body([2.0 + n]))[1]["outputs"][0]["data"][0] for n in range(5)}


def test_after_a_crash_each_has_a_process_of_its_own(served: Gateway) -> None:
    assert ask(served, "m0", "m1", "m2") == [200] * 3
    assert served.infer("m0", body([666.0]))[0] in {500, 503}
    until_blocking(lambda: ask(served, "m0", "m1", "m2") == [200] * 3)
    assert workers(served) == 3
    assert served.infer("m0", body([666.0]))[0] in {500, 503}
    assert ask(served, "m1", "m2") == [200] * 2, "they had no part in it"
    assert ask(served, "m3", "m4") == [200] * 2
    until_blocking(lambda: ask(served, "m0") == [200])
    assert workers(served) == 4, "m3 and m4 have done nothing"


def test_one_that_hangs_is_found_out_and_the_others_are_not_blamed(served: Gateway) -> None:
    assert ask(served, "hangs", "m1", "m2") == [200] * 3
    assert served.infer("hangs", body([666.0]))[0] in {500, 503, 504}
    until_blocking(lambda: ask(served, "hangs", "m1", "m2") == [200] * 3)
    until_blocking(lambda: workers(served) == 2)


def test_a_killed_worker_is_replaced_for_all(served: Gateway) -> None:
    assert ask(served, "m1", "m2", "m3") == [200] * 3
    (worker,) = served.processes("gateway-worker")
    served.kill(worker)
    until_blocking(lambda: ask(served, "m1", "m2", "m3") == [200] * 3)
    assert worker.pid not in {one.pid for one in served.processes()}


def test_unloading_one_leaves_the_others(root: Path) -> None:
    with gateway(root, "--insecure-dev", environment=SHARED) as served:
        assert ask(served, "m1", "m2") == [200] * 2
        assert served.ask("/v2/repository/models/m1/unload", {})[0] == 200
        assert ask(served, "m2") == [200]
        assert workers(served) == 1
        assert served.ask("/v2/repository/models/m1/load", {})[0] == 200
        assert ask(served, "m1", "m2") == [200] * 2
        assert workers(served) == 1
        assert served.stop() == 0


def test_a_model_may_want_a_process_or_a_share_of_its_own(tmp_path: Path) -> None:
    for name, isolation in (("a", "shared"), ("b", "shared"), ("c", "process"), ("d", "auto")):
        add_model(tmp_path, name, {})
        config = tmp_path / name / "config.pbtxt"
        wish = f'parameters {{ key: "gateway.isolation" value {{ string_value: "{isolation}" }} }}\n'
        config.write_text(config.read_text() + wish)
    with gateway(tmp_path, environment=LAB) as served:
        assert ask(served, "a", "b", "c", "d") == [200] * 4
        assert workers(served) == 3, "a and b have one together"
