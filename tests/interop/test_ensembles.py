"""Ensembles behind a gateway started as a user starts it: two fronts, parts that load when called."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.ensembles import Row, add_ensemble, config_of
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity, table
from tests.fakes.python_files import DOUBLER_CONFIG, OWN, add_model, write
from tests.fakes.waiting import until_blocking

X, Y = ("X TYPE_FP32 [ -1 ]",), ("Y TYPE_FP32 [ -1 ]",)
# X through an ONNX model, doubled in Python, through another ONNX model.
CHAIN: tuple[Row, ...] = (
    ("first", {"X": "X"}, {"Y": "one"}),
    ("double", {"X": "one"}, {"Y": "two"}),
    ("last/1", {"X": "two"}, {"Y": "Y"}),
)
# Each of two models that do not need each other waits until the other runs, too.
WAITER = """
    import os, time
    from gateway.model import Model

    class Waiter(Model):
        def load(self, context):
            self.folder = context.parameters["folder"]

        def infer(self, inputs):
            open(f"{self.folder}/{os.getpid()}", "w").close()
            give_up = time.monotonic() + 30
            while len(os.listdir(self.folder)) < 2:
                if time.monotonic() > give_up:
                    raise RuntimeError("nobody else came")
                time.sleep(0.005)
            return {"Y": inputs["X"]}
"""
MEETING = """
    parameters { key: "folder" value { string_value: "%s" } }
"""
AT_ONCE = DOUBLER_CONFIG.replace("max_queue_delay_microseconds: 50000", "")
LABELLED = """
    max_batch_size: 8
    input { name: "X" data_type: TYPE_FP32 dims: 3 }
    output { name: "Y" data_type: TYPE_FP32 dims: 3 label_filename: "labels.txt" }
"""
SIDE_BY_SIDE: tuple[Row, ...] = (
    ("waiter_a", {"X": "X"}, {"Y": "a"}),
    ("waiter_b", {"X": "X"}, {"Y": "Y"}),
)


def put(root: Path) -> None:
    identity(root / "first" / "1")
    identity(root / "last" / "1")
    add_model(root, "double", OWN, AT_ONCE)
    add_ensemble(root, "chain", config_of(CHAIN, X, Y, max_batch_size=8))
    meeting = root.with_name(f"{root.name}-meeting")
    meeting.mkdir()
    for name in ("waiter_a", "waiter_b"):
        add_model(root, name, WAITER, AT_ONCE + MEETING % meeting)
    both = (*Y, "a TYPE_FP32 [ -1 ]")
    add_ensemble(root, "side_by_side", config_of(SIDE_BY_SIDE, X, both, max_batch_size=8))
    identity(root / "scores" / "1")
    write(root / "scores", LABELLED, "config.pbtxt")
    write(root / "scores", "cat\ndog\nseal\n", "labels.txt")
    three = ("X TYPE_FP32 [ 3 ]",), ("BEST TYPE_FP32 [ 3 ]",)
    named = [("first", {"X": "X"}, {"Y": "one"}), ("scores", {"X": "one"}, {"Y": "BEST"})]
    add_ensemble(root, "named", config_of(named, *three, max_batch_size=8))
    table(root / "table" / "1")
    add_ensemble(root, "unfit", config_of([("table", {"X": "X"}, {"Y": "Y"})], X, Y, max_batch_size=8))
    circle = [("other", {"X": "X"}, {"Y": "Y"})]
    add_ensemble(root, "circle", config_of(circle, X, Y))
    add_ensemble(root, "other", config_of([("circle", {"X": "X"}, {"Y": "Y"})], X, Y))


def started(root: Path) -> AbstractContextManager[Gateway]:
    put(root)
    return gateway(root, "--fronts", "2", "--insecure-dev", environment={"GATEWAY_REPOSITORY__POLL_S": "0.2"})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def running(root: Path) -> Generator[Gateway]:
    with started(root) as one:
        yield one
        assert one.stop() == 0, one.log.read_text()


@pytest.fixture
def fresh(tmp_path: Path) -> Generator[Gateway]:
    with started(tmp_path / "models") as one:
        yield one


def infer(running: Gateway, model: str, values: Sequence[float], rows: int = 1) -> tuple[int, Any]:
    given = {"name": "X", "datatype": "FP32", "shape": [rows, len(values) // rows], "data": list(values)}
    status, answer, _ = running.infer(model, {"inputs": [given]}, 30.0)
    if status != 200:
        return status, answer["error"]
    return status, {one["name"]: one["data"] for one in answer["outputs"]}


def test_parts_load_when_their_ensemble_is_called(fresh: Gateway) -> None:
    assert fresh.processes("gateway-worker") == []
    assert infer(fresh, "chain", [1, 2, 3, 4], rows=2) == (200, {"Y": [2.0, 4.0, 6.0, 8.0]})
    assert len(fresh.processes("gateway-worker")) == 3, "one for each part, none for the ensemble"
    assert infer(fresh, "double", [5]) == (200, {"Y": [10.0]})
    assert len(fresh.processes("gateway-worker")) == 3
    until_blocking(lambda: records(fresh, "chain", "rest") == 1)
    assert [records(fresh, part, "ensemble") for part in ("first", "double", "last")] == [1, 1, 1]
    status, told, _ = fresh.ask("/v2/models/chain/config")
    assert (status, told["platform"], told["backend"], told["instance_group"]) == (200, "ensemble", "", [])
    versions = [step["model_version"] for step in told["ensemble_scheduling"]["step"]]
    assert versions == [-1, -1, 1], "numbers, as Triton has them"


def records(running: Gateway, model: str, protocol: str) -> float:
    name = f'gateway_requests_total{{model="{model}",outcome="OK",protocol="{protocol}",version="1"}}'
    return running.page().get(name, 0)


def test_steps_that_do_not_need_each_other_run_at_the_same_time(running: Gateway) -> None:
    assert infer(running, "side_by_side", [1]) == (200, {"Y": [1.0], "a": [1.0]})


def test_broken_ones_say_why_and_the_others_serve(running: Gateway) -> None:
    for name in ("circle", "other"):
        status, text = infer(running, name, [1])
        assert status == 503
        assert "the ensembles form a circle: " in text
        assert running.ask(f"/v2/models/{name}/ready")[0] == 503
    status, text = infer(running, "unfit", [1])
    assert status == 503
    assert "tensor 'X' is FP32 [-1, -1] as input 'X', and INT64 [-1, 1] as input 'X' of step 0" in text
    assert running.ask("/v2/models/chain/ready")[0] == 200
    assert infer(running, "chain", [1])[0] == 200


def test_gateway_check_and_models_tell_of_ensembles(tmp_path: Path) -> None:
    put(tmp_path)
    command = [sys.executable, "-m", "gateway"]
    done = subprocess.run(
        [*command, "check", "--repository", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "circle: step 0 (model 'other'): step 0 (model 'circle'): the ensembles form" in done.stdout
    listed = subprocess.run(
        [*command, "models", "--repository", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": ""},
    )
    assert "calls first, double, last" in listed.stdout


def test_a_part_s_worker_is_killed_under_mixed_traffic(running: Gateway) -> None:
    assert infer(running, "chain", [1])[0] == 200
    workers = running.processes("gateway-worker")

    def ask(number: int) -> tuple[int, Any]:
        model = ("chain", "double", "chain", "first")[number % 4]
        factor = 1 if model == "first" else 2
        status, answer = infer(running, model, [100.0 + number, 1.0])
        return status, answer if status != 200 else answer["Y"] == [factor * (100 + number), factor]

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, number) for number in range(600)]
        for number, process in enumerate(workers, start=1):
            until_blocking(lambda most=30 * number: sum(one.done() for one in answers) > most)
            process.kill()
        assert {one.result() for one in answers} == {(200, True)}
    until_blocking(lambda: len(running.processes("gateway-worker")) == len(workers))


def test_many_rows_of_many_callers_come_back_to_whom_they_belong(running: Gateway) -> None:
    def ask(number: int) -> bool:
        rows = 1 + number % 5
        values = [float(100 + number * 10 + place) for place in range(rows * 2)]
        return infer(running, "chain", values, rows) == (200, {"Y": [2 * value for value in values]})

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(ask, range(120)))


def test_an_ensemble_comes_and_changes_without_a_restart(running: Gateway, root: Path) -> None:
    direct = [("double", {"X": "X"}, {"Y": "Y"})]
    add_ensemble(root, "new", config_of(direct, X, Y, max_batch_size=4))
    until_blocking(lambda: infer(running, "new", [3]) == (200, {"Y": [6.0]}))
    write(
        root / "new",
        config_of([("first", {"X": "X"}, {"Y": "Y"})], X, Y, max_batch_size=4),
        "config.pbtxt",
    )
    until_blocking(lambda: all(infer(running, "new", [3]) == (200, {"Y": [3.0]}) for _ in range(8)))


def test_it_works_by_generate_and_has_a_document(running: Gateway) -> None:
    request = urllib.request.Request(
        f"{running.http}/v2/models/chain/generate", json.dumps({"X": [1.0, 2.0]}).encode()
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.loads(answer.read())["Y"] == [2.0, 4.0]
    assert running.ask("/v2/models/chain/docs")[0] == 200


def test_classes_have_the_labels_of_the_model_that_makes_them(running: Gateway) -> None:
    given = {"name": "X", "datatype": "FP32", "shape": [1, 3], "data": [1, 3, 2]}
    wanted = {"name": "BEST", "parameters": {"classification": 2}}
    status, answer, _ = running.infer("named", {"inputs": [given], "outputs": [wanted]})
    assert (status, answer["outputs"][0]["data"]) == (200, ["3.000000:1:dog", "2.000000:2:seal"])


def states(running: Gateway) -> dict[str, tuple[str, str]]:
    status, told, _ = running.ask("/v2/repository/index", {})
    assert status == 200
    return {one["name"]: (one["state"], one.get("reason", "")) for one in told}


def control(running: Gateway, name: str, what: str, **parameters: object) -> int:
    return running.ask(f"/v2/repository/models/{name}/{what}", {"parameters": parameters}, 30.0)[0]


def test_model_control_knows_what_an_ensemble_needs(fresh: Gateway) -> None:
    assert states(fresh)["chain"] == ("READY", "")
    assert "the ensembles form a circle" in states(fresh)["circle"][1]
    assert control(fresh, "chain", "load") == 200
    assert len(fresh.processes("gateway-worker")) == 3
    assert control(fresh, "double", "unload") == 200
    reason = "step 1 (model 'double'): unloaded"
    assert states(fresh)["chain"] == ("UNAVAILABLE", reason)
    assert fresh.ask("/v2/models/chain/ready")[0] == 503
    status, text = infer(fresh, "chain", [1])
    assert (status, "step 1 (model 'double') of ensemble 'chain'" in text) == (503, True)
    assert control(fresh, "chain", "load") == 200
    assert infer(fresh, "chain", [1]) == (200, {"Y": [2.0]})
    assert control(fresh, "chain", "unload", unload_dependents=True) == 200
    for model in ("chain", "first", "double", "last"):
        assert states(fresh)[model] == ("UNAVAILABLE", "unloaded")
    assert states(fresh)["waiter_a"][0] == "READY"
    until_blocking(lambda: not fresh.processes("gateway-worker"))
