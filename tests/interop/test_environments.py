"""Models in Python that run in prepared environments, behind a gateway started as a user starts it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from gateway.repository import pbtxt
from gateway.repository.refusal import ConfigRefused
from tests.fakes.environments import install, make_environment
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import DOUBLER_CONFIG, add_model, write
from tests.fakes.waiting import until_blocking

# Multiplies by what a package says that the gateway does not have.
BY_PACKAGE = """
    import numpy as np
    import factors
    from gateway.model import Model

    class Times(Model):
        def infer(self, inputs):
            return {"Y": inputs["X"] * np.float32(factors.FACTOR)}
"""


def config(environment: str) -> str:
    named = f'parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{environment}" }} }}'
    return DOUBLER_CONFIG + (named if environment else "")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    root, environments = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("environments")
    install(make_environment(environments / "tens"), "factors", "1.2", "FACTOR = 10")
    install(make_environment(environments / "hundreds"), "factors", "2.0", "FACTOR = 100")
    install(make_environment(environments / "clash"), "numpy", "1.26.4", "")
    make_environment(environments / "old", "python3.8")
    for name, told, requirements in (
        ("tens", "tens", "factors>=1,<2\n"),
        ("hundreds", "hundreds", "factors\nnumpy\n"),
        ("own", "$$TRITON_MODEL_DIRECTORY/env", ""),
        ("wrong_version", "hundreds", "factors<2\nmissing-thing\n"),
        ("in_ours", "", "factors\n"),
        ("clash", "clash", ""),
        ("old", "old", ""),
        ("packed", "/srv/env.tar.gz", ""),
    ):
        add_model(root, name, BY_PACKAGE, config(told))
        write(root / name / "1", requirements, "requirements.txt")
    install(make_environment(root / "own" / "env"), "factors", "7", "FACTOR = 7")
    environment = {
        "GATEWAY_REPOSITORY__ENVIRONMENTS": str(environments),
        "GATEWAY_WORKERS__LOAD_FAILURE_MEMORY_S": "600",
    }
    with gateway(root, "--insecure-dev", environment=environment) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def times(running: Gateway, model: str) -> Any:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
    status, answer, _ = running.infer(model, {"inputs": [tensor]})
    return answer["outputs"][0]["data"] if status == 200 else answer["error"]


def test_each_runs_with_the_packages_of_its_own(running: Gateway) -> None:
    assert times(running, "tens") == [10.0, 20.0]
    assert times(running, "hundreds") == [100.0, 200.0]
    assert times(running, "own") == [7.0, 14.0]
    _, index, _ = running.ask("/v2/repository/index", {})
    told = {one["name"]: one.get("reason", "") for one in index}
    assert (told["tens"], told["own"]) == ("in environment 'tens'", "in environment 'env'")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            "wrong_version",
            "requirements.txt: not installed in environment 'hundreds': "
            "factors<2 (there is 2.0), missing-thing",
        ),
        ("in_ours", "requirements.txt: not installed in the gateway's environment: factors"),
        ("clash", "environment 'clash' has another version of what every worker has imported: numpy 1.26.4"),
        ("old", "environment 'old' is for python3.8, the gateway runs python3."),
        ("packed", "'/srv/env.tar.gz' is an archive, and nothing is unpacked here"),
    ],
)
def test_what_does_not_fit_says_why_and_the_index_too(running: Gateway, model: str, reason: str) -> None:
    assert reason in times(running, model)
    status, index, _ = running.ask("/v2/repository/index", {})
    assert status == 200
    (told,) = [one for one in index if one["name"] == model]
    assert told["state"] == "UNAVAILABLE"
    assert reason in told["reason"]


# Tells which process has imported a module: the worker itself, or what it was forked from.
IMPORTED_BY = """
    import os
    import numpy as np
    import slow
    from gateway.model import Model

    class Pids(Model):
        def infer(self, inputs):
            rows = len(inputs["X"])
            return {"Y": np.array([[slow.PID, os.getpid()]] * rows, "f4")}
"""
SLOW = "import os, time\ntime.sleep(0.3)\nPID = os.getpid()"
THREADED = f"{SLOW}\nimport threading\nthreading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()"


def test_modules_are_imported_once_by_a_zygote_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    root, environments = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("environments")
    install(make_environment(environments / "env"), "slow", "1", SLOW)
    install(make_environment(environments / "threads"), "slow", "2", THREADED)
    preload = 'parameters { key: "gateway.preload" value { string_value: "slow" } }'
    add_model(root, "own", IMPORTED_BY, config("env"))
    add_model(root, "preloaded", IMPORTED_BY, config("env") + preload)
    add_model(root, "beside", IMPORTED_BY, config("env") + preload)
    add_model(root, "threads", IMPORTED_BY, config("threads") + preload)
    environment = {
        "GATEWAY_REPOSITORY__ENVIRONMENTS": str(environments),
        "GATEWAY_WORKERS__RESTART_BACKOFF_S": "0.05",
        "GATEWAY_WORKERS__RESTART_BACKOFF_CAP_S": "0.1",
    }
    with gateway(root, "--insecure-dev", environment=environment) as started:
        by, worker = times(started, "own")
        assert by == worker
        by, worker = times(started, "preloaded")
        assert by != worker
        zygotes = {one.pid for one in started.processes("gateway-zygote")}
        assert by in zygotes
        assert len(zygotes) == 2
        assert times(started, "beside")[0] == by
        assert started.ask("/v2/repository/models/preloaded/unload", {})[0] == 200
        assert started.ask("/v2/repository/models/preloaded/load", {})[0] == 200
        assert times(started, "preloaded")[0] == by
        (victim,) = [one for one in started.processes("gateway-zygote") if one.pid == by]
        started.kill(victim)
        assert times(started, "preloaded")[0] == by, "its workers outlive it"
        assert started.ask("/v2/repository/models/beside/unload", {})[0] == 200
        until_blocking(lambda: started.ask("/v2/repository/models/beside/load", {})[0] == 200)
        assert times(started, "beside")[0] not in {by, 0.0}
        # Forks of a process with threads would not be safe: such modules are imported by each worker.
        until_blocking(lambda: isinstance(times(started, "threads"), list))
        by, worker = times(started, "threads")
        assert by == worker
        assert started.stop() == 0, started.log.read_text()


def test_modules_that_are_none_are_refused() -> None:
    refused = pbtxt_refusal("a-b")
    assert "parameters['gateway.preload']: must be names of modules" in refused


def pbtxt_refusal(told: str) -> str:
    wish = f'parameters {{ key: "gateway.preload" value {{ string_value: "{told}" }} }}'
    with pytest.raises(ConfigRefused) as caught:
        pbtxt.parse((DOUBLER_CONFIG + wish).encode(), "m")
    return caught.value.text
