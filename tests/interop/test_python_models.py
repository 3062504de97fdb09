"""Models written in Python, behind a gateway started as a user starts it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import ADD_SUB, ASYNCHRONOUS, DOUBLER_CONFIG, FIRST_ROW, OWN, UPPER, add_model

MANY = 12


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add_model(root, "own", OWN, DOUBLER_CONFIG)
    add_model(root, "later", ASYNCHRONOUS, DOUBLER_CONFIG)
    add_model(root, "add_sub", ADD_SUB)
    add_model(root, "upper", UPPER)
    add_model(root, "first_row", FIRST_ROW, DOUBLER_CONFIG)
    add_model(root, "wrong_syntax", "def infer(:\n", DOUBLER_CONFIG)
    add_model(
        root,
        "in_front",
        OWN,
        f'{DOUBLER_CONFIG}\nparameters {{ key: "gateway.isolation" value {{ string_value: "inline" }} }}',
    )
    shutil.copytree(Path("model_repo/identity_bytes"), root / "identity_bytes")
    return root


@pytest.fixture(scope="module")
def running(repository: Path) -> Generator[Gateway]:
    with gateway(repository, "--insecure-dev") as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def tensor(name: str, data: Sequence[Any], *shape: int, datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def double(running: Gateway, model: str, value: float) -> tuple[int, Any]:
    status, answer, _ = running.infer(model, {"inputs": [tensor("X", [value, 1.0], 1, 2)]})
    return status, answer["outputs"][0]["data"] if status == 200 else answer["error"]


@pytest.mark.parametrize("model", ["own", "later"])
def test_a_class_of_ours_answers(running: Gateway, model: str) -> None:
    assert double(running, model, 21) == (200, [42.0, 2.0])


def test_its_metadata_is_that_of_a_python_model(running: Gateway) -> None:
    status, answer, _ = running.ask("/v2/models/own")
    assert (status, answer["platform"]) == (200, "python")


def test_a_row_that_raises_does_not_hurt_its_mates(running: Gateway) -> None:
    """The requests wait 50 ms for one another, so that they share batches."""
    assert double(running, "own", 1)[0] == 200
    values = [13 if one == 5 else 14 if one == 7 else 100 + one for one in range(MANY)]
    with ThreadPoolExecutor(MANY) as threads:
        answers = list(threads.map(lambda value: double(running, "own", value), values))
    for value, (status, answer) in zip(values, answers, strict=True):
        match value:
            case 13:
                assert status == 500
                assert answer.endswith("RuntimeError: thirteen, as table.csv says")
            case 14:
                assert (status, answer) == (400, "X must not have a 14")
            case _:
                assert (status, answer) == (200, [2.0 * value, 2.0])
    log = running.log.read_text()
    assert "python model own/1: an exception" in log
    assert "/srv/models/secret/table.csv" in log


def test_a_file_for_triton_answers_unchanged(running: Gateway) -> None:
    a, b = [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]
    body = {"inputs": [tensor("INPUT0", a, 4), tensor("INPUT1", b, 4)]}
    status, answer, _ = running.infer("add_sub", body)
    assert status == 200, answer
    assert {one["name"]: one["data"] for one in answer["outputs"]} == {
        "OUTPUT0": [11.0, 22.0, 33.0, 44.0],
        "OUTPUT1": [-9.0, -18.0, -27.0, -36.0],
    }
    assert all(one["shape"] == [4] and one["datatype"] == "FP32" for one in answer["outputs"])
    body["inputs"][0]["data"] = [13.0] * 4
    status, answer, _ = running.infer("add_sub", body)
    assert (status, answer["error"]) == (400, "thirteen is refused")


def test_a_batching_file_for_triton_tells_its_own_signature(running: Gateway) -> None:
    body = {"inputs": [tensor("TEXT", ["a", "b"], 2, 1, datatype="BYTES")]}
    status, answer, _ = running.infer("upper", body)
    assert (status, answer["outputs"][0]["data"]) == (200, ["A", "B"])
    status, answer, _ = running.ask("/v2/models/upper")
    assert answer["inputs"] == [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, -1]}]


def test_a_file_that_thinks_of_one_row_is_right_if_slow(running: Gateway) -> None:
    """What it answers to a joined batch has too few rows; each request is then run alone."""
    assert double(running, "first_row", 1) == (200, [2.0, 2.0])
    with ThreadPoolExecutor(MANY) as threads:
        answers = list(threads.map(lambda value: double(running, "first_row", value), range(MANY)))
    assert answers == [(200, [2.0 * value, 2.0]) for value in range(MANY)]


def test_bytes_come_back(running: Gateway) -> None:
    data = ["", "a", "\u00fcber", "x" * 70_000]
    status, answer, _ = running.infer(
        "identity_bytes", {"inputs": [tensor("INPUT0", data, 2, 2, datatype="BYTES")]}
    )
    assert (status, answer["outputs"][0]["data"]) == (200, data)


def test_a_syntax_error_is_the_models_own_trouble(running: Gateway) -> None:
    status, answer = double(running, "wrong_syntax", 1)
    assert status == 503, answer
    assert "model.py: SyntaxError: invalid syntax (model.py, line 1)" in answer
    assert double(running, "own", 3) == (200, [6.0, 2.0])


def test_code_never_runs_in_a_front(running: Gateway) -> None:
    status, answer = double(running, "in_front", 1)
    assert status in {404, 503}
    assert "'model.py' is code and never runs in a front" in answer


def test_serving_leaves_the_repository_as_it_was(running: Gateway, repository: Path) -> None:
    double(running, "own", 1)
    files = sorted(str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file())
    assert not [name for name in files if "__pycache__" in name], json.dumps(files)
