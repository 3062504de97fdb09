"""Models in Python that run in prepared environments, behind a gateway started as a user starts it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.fakes.environments import install, make_environment
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import DOUBLER_CONFIG, add_model, write

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
