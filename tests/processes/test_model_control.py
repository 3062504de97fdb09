"""Models indexed, loaded and unloaded by callers, through a started gateway with two fronts."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity
from tests.fakes.waiting import until_blocking

MODELS = Path("model_repo")
# Each ask is a connection of its own, and the kernel spreads those over the fronts.
ASKS = 40
SIMPLE = {
    "inputs": [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": list(range(16))}
        for name in ("INPUT0", "INPUT1")
    ]
}
ROW = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS / "simple", folder / "simple")
    identity(folder / "echo" / "1")
    identity(folder / "echo" / "2")
    (folder / "echo" / "config.pbtxt").write_text("version_policy { all { } }")
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "model.onnx").write_bytes(b"this is no model")
    (folder / "faulty" / "1").mkdir(parents=True)
    (folder / "faulty" / "1" / "model.onnx").write_bytes(b"x")
    (folder / "faulty" / "config.pbtxt").write_text("max_batch_size: -3")
    return folder


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def served(repository: Path, temporary: Path) -> Generator[Gateway]:
    """A gateway with two fronts that puts its files into a folder of the test's."""
    flags = ("--insecure-dev", "--fronts", "2")
    with gateway(repository, *flags, environment={"TMPDIR": str(temporary)}) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()
    assert not list(temporary.iterdir()), "files of a load are left"


def call(served: Gateway, path: str, **parameters: Any) -> tuple[int, str]:
    """A load or unload: its status, and the text of its error."""
    status, body, _ = served.ask(
        f"/v2/repository/models/{path}", {"parameters": parameters} if parameters else {}
    )
    return status, body["error"] if body else ""


def index(served: Gateway, **body: Any) -> dict[tuple[str, str], tuple[str, str]]:
    status, entries, _ = served.ask("/v2/repository/index", body)
    assert status == 200
    return {(one["name"], one["version"]): (one["state"], one["reason"]) for one in entries}


def answers(served: Gateway, path: str, body: Any = None) -> set[int]:
    """The statuses of many asks, which reach every front."""
    return {served.ask(path, body)[0] for _ in range(ASKS)}


def max_rows(served: Gateway) -> int:
    """The largest batch of `simple` that is taken."""
    for rows in (8, 16, 32):
        array = {"datatype": "INT32", "shape": [rows + 1, 16], "data": [0] * 16 * (rows + 1)}
        body = {"inputs": [{"name": name, **array} for name in ("INPUT0", "INPUT1")]}
        if served.infer("simple", body)[0] == 400:
            return rows
    return 64


def test_the_index_says_what_can_be_called_and_what_not_and_why(served: Gateway) -> None:
    found = index(served)
    assert found["simple", "1"] == ("READY", "it loads at the first request")
    assert found["echo", "1"][0] == found["echo", "2"][0] == "READY"
    assert found["faulty", ""][0] == "UNAVAILABLE"
    assert "max_batch_size" in found["faulty", ""][1]
    assert served.infer("broken", ROW)[0] == 503
    assert index(served)["broken", "1"][0] == "UNAVAILABLE"
    assert "faulty" not in {name for name, _ in index(served, ready=True)}
    assert "model_repository" in served.ask("/v2")[1]["extensions"]


def test_an_unloaded_model_is_gone_from_every_front_when_the_call_returns(served: Gateway) -> None:
    for _ in range(5):
        assert call(served, "simple/load") == (200, "")
        assert index(served)["simple", "1"] == ("READY", "")
        assert answers(served, "/v2/models/simple/ready") == {200}
        assert answers(served, "/v2/models/simple/infer", SIMPLE) == {200}
        assert call(served, "simple/unload", unload_dependents=True) == (200, "")
        assert answers(served, "/v2/models/simple/ready") == {404}
    status, body, _ = served.infer("simple", SIMPLE)
    assert (status, body["error"]) == (
        404,
        "Request for unknown model: 'simple' has no available versions",
    )
    assert index(served)["simple", "1"] == ("UNAVAILABLE", "unloaded")
    assert call(served, "simple/unload") == (200, "")
    assert call(served, "simple/load") == (200, "")


def test_an_unload_survives_a_change_of_the_repository_and_the_death_of_a_front(
    served: Gateway, repository: Path
) -> None:
    assert call(served, "echo/load") == (200, "")
    assert call(served, "echo/unload") == (200, "")
    identity(repository / "echo" / "3")
    until_blocking(lambda: ("echo", "3") in index(served))
    victim = served.processes("front")[0]
    served.kill(victim)
    # The other front is no replacement: only a second one beside it is.
    until_blocking(lambda: len({one.pid for one in served.processes("front")} - {victim.pid}) == 2)
    until_blocking(served.is_healthy)
    assert answers(served, "/v2/models/echo/ready") == {404}
    assert call(served, "echo/load") == (200, "")
    assert {index(served)["echo", version] for version in "123"} == {("READY", "")}


def test_work_under_way_is_finished_when_its_model_is_unloaded(served: Gateway) -> None:
    assert call(served, "simple/load") == (200, "")
    found: list[tuple[int, str]] = []
    begun, is_unloaded = threading.Semaphore(0), threading.Event()

    def ask() -> None:
        while not is_unloaded.is_set():
            begun.release()
            status, body, _ = served.infer("simple", SIMPLE)
            found.append((status, "" if status == 200 else body["error"]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        begun.acquire()
    assert call(served, "simple/unload") == (200, "")
    is_unloaded.set()
    for thread in threads:
        thread.join()
    refused = "Request for unknown model: 'simple' has no available versions"
    assert set(found) <= {(200, ""), (404, refused)}
    assert found.count((200, "")) >= 36


def test_a_load_says_what_is_wrong(served: Gateway) -> None:
    assert call(served, "nobody/load") == (
        400,
        "failed to load 'nobody', failed to poll from model repository",
    )
    assert call(served, "nobody/unload") == (200, "")
    status, text = call(served, "broken/load")
    assert status == 400
    assert text.startswith("load failed for model 'broken': version 1: ")
    status, text = call(served, "faulty/load")
    assert status == 400
    assert text.startswith("load failed for model 'faulty': config.pbtxt: max_batch_size")
    assert str(served.ask("/v2/repository/other/index", {})[:2]) == str((
        501,
        {"error": "'repository_name' specification is not supported", "code": "UNSUPPORTED"},
    ))
    for bad in ({"config": 7}, {"other": "x"}, {"file:1/model.onnx": "!"}):
        assert call(served, "simple/load", **bad)[0] == 400
    assert call(served, "simple/unload", unload_dependents="yes")[0] == 400
    assert served.ask("/v2/repository/index", [])[0] == 400  # type: ignore[arg-type]
    assert call(served, "..%2fetc/load")[0] == 400


def test_a_configuration_that_comes_with_a_load_stays_until_the_unload(served: Gateway) -> None:
    assert call(served, "simple/load") == (200, "")
    assert max_rows(served) == 8
    assert call(served, "simple/load", config='{"max_batch_size":"16"}') == (200, "")
    assert max_rows(served) == 16
    assert call(served, "simple/load") == (200, "")
    assert max_rows(served) == 16
    for config in (
        '"a": {',
        '{"max_batch_size": "many"}',
        '{"instance_group": [{"kind": "KIND_MODEL"}]}',
        "[]",
    ):
        status, text = call(served, "simple/load", config=config)
        assert status == 400, config
        assert text.startswith("failed to load 'simple'"), text
    assert max_rows(served) == 16
    assert call(served, "simple/unload") == (200, "")
    assert call(served, "simple/load") == (200, "")
    assert max_rows(served) == 8


def test_nobody_is_refused_while_a_model_is_loaded_anew(served: Gateway) -> None:
    assert call(served, "simple/load") == (200, "")
    statuses: list[int] = []
    begun, is_over = threading.Semaphore(0), threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            begun.release()
            statuses.append(served.infer("simple", SIMPLE)[0])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for rows in (16, 4, 16, 4):
        for _ in range(20):
            begun.acquire()
        assert call(served, "simple/load", config=json.dumps({"max_batch_size": rows})) == (200, "")
    is_over.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert call(served, "simple/unload") == (200, "")
    assert call(served, "simple/load") == (200, "")


def test_a_model_in_the_fronts_is_unloaded_and_loaded_too(served: Gateway, repository: Path) -> None:
    identity(repository / "inline" / "1")
    config = 'parameters { key: "gateway.isolation" value { string_value: "inline" } }'
    (repository / "inline" / "config.pbtxt").write_text(config)
    for _ in range(2):
        assert call(served, "inline/load") == (200, "")
        assert answers(served, "/v2/models/inline/infer", ROW) == {200}
        assert call(served, "inline/unload") == (200, "")
        assert answers(served, "/v2/models/inline/infer", ROW) == {404}


def test_a_configuration_that_does_not_load_leaves_what_served(served: Gateway) -> None:
    assert call(served, "simple/load") == (200, "")
    config = json.dumps({"input": [{"name": "NOPE", "data_type": "TYPE_INT32", "dims": ["16"]}]})
    status, text = call(served, "simple/load", config=config)
    assert status == 400
    assert text.startswith("load failed for model 'simple': version 1:")
    assert answers(served, "/v2/models/simple/infer", SIMPLE) == {200}
    assert max_rows(served) == 8


def doubling() -> bytes:
    """A model with the signature of an echo that adds its input to itself."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["X", "X"], ["Y"])],
        "doubling",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", "m"])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", "m"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def result(served: Gateway, model: str) -> list[float]:
    status, body, _ = served.infer(model, ROW)
    assert status == 200, body
    return body["outputs"][0]["data"]  # type: ignore[no-any-return]


def test_files_that_come_with_a_load_hide_the_folder_until_the_next_load(served: Gateway) -> None:
    content = base64.b64encode(doubling()).decode()
    assert call(served, "echo/load") == (200, "")
    assert result(served, "echo") == [1.0, 2.0]
    assert call(served, "echo/load", config="{}", **{"file:7/model.onnx": content}) == (200, "")
    assert served.ask("/v2/models/echo")[1]["versions"] == ["7"]
    assert result(served, "echo") == [2.0, 4.0]
    assert call(served, "echo/load") == (200, "")
    assert "7" not in served.ask("/v2/models/echo")[1]["versions"]
    assert result(served, "echo") == [1.0, 2.0]
    assert call(served, "fresh/load", config="{}", **{"file:1/model.onnx": content}) == (200, "")
    assert result(served, "fresh") == [2.0, 4.0]
    time.sleep(2.5)  # a look at the repository, which does not have it
    assert result(served, "fresh") == [2.0, 4.0]
    assert call(served, "fresh/unload") == (200, "")
    assert served.infer("fresh", ROW)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "A" * 256,
        f"1/{'A' * 256}",
        "../x",
        "1/../../x",
        "/etc/x",
        "1/model.py",
        "x/model.onnx",
        "1/",
        "1/a\0b",
    ],
)
def test_a_file_that_could_lie_elsewhere_or_run_is_refused(served: Gateway, path: str) -> None:
    status, text = call(served, "echo/load", config="{}", **{f"file:{path}": "YQ=="})
    assert status == 400
    assert text.startswith("failed to load 'echo', failed to poll from model repository: Invalid file path")
    status, text = call(served, "echo/load", **{"file:1/model.onnx": "YQ=="})
    assert (status, "'config'" in text) == (400, True)
    assert served.ask("/v2/health/live")[0] == 200


@pytest.mark.parametrize("location", ["../../../../../../etc/hostname", "/etc/hostname"])
def test_a_model_that_was_sent_reads_no_file_of_the_machine(served: Gateway, location: str) -> None:
    weights = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["Y"])],
        "reading",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("Y", TensorProto.UINT8, [4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = base64.b64encode(model.SerializeToString()).decode()
    status, text = call(served, "reading/load", config="{}", **{"file:1/model.onnx": content})
    assert status == 400
    assert text.startswith("load failed for model 'reading': version 1: ")
    assert "gateway-loads" not in text


def test_a_large_file_travels_beside_the_packet(served: Gateway) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2_000_000], np.zeros((2, 2_000_000), np.float32))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "w"], ["Z"]), helper.make_node("ReduceSum", ["Z"], ["Y"])],
        "large",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 1])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = base64.b64encode(model.SerializeToString()).decode()
    status, text = call(served, "large/load", config="{}", **{"file:1/model.onnx": content})
    assert (status, text) == (200, "")
    assert call(served, "large/unload") == (200, "")


def test_what_a_killed_gateway_leaves_the_next_one_removes_and_nobody_else_s(
    served: Gateway, repository: Path, temporary: Path
) -> None:
    """Three gateways that put their files into one folder: one lives, one is killed, one starts."""
    files = {"file:1/model.onnx": base64.b64encode(doubling()).decode()}
    alone = ("--insecure-dev",)
    environment = {"TMPDIR": str(temporary)}
    assert call(served, "sent/load", config="{}", **files) == (200, "")
    (kept,) = temporary.iterdir()
    with gateway(repository, *alone, environment=environment) as killed:
        assert call(killed, "sent/load", config="{}", **files) == (200, "")
        (left,) = set(temporary.iterdir()) - {kept}
        assert left.stat().st_mode & 0o777 == 0o700
        killed.process.kill()
        killed.process.wait()
    assert set(temporary.iterdir()) == {kept, left}
    with gateway(repository, *alone, environment=environment) as next_one:
        until_blocking(lambda: "left by 1 gateways" in next_one.log.read_text())
        assert set(temporary.iterdir()) == {kept}
        assert next_one.stop() == 0
    assert result(served, "sent") == [2.0, 4.0]
    assert call(served, "sent/unload") == (200, "")


def test_without_insecure_dev_nobody_controls_models(repository: Path) -> None:
    with gateway(repository) as running:
        for path in ("index", "models/simple/load", "models/simple/unload"):
            status, body, _ = running.ask(f"/v2/repository/{path}", {})
            assert (status, body["code"]) == (403, "FORBIDDEN")
        assert "model_repository" not in running.ask("/v2")[1]["extensions"]
        assert running.infer("simple", SIMPLE)[0] == 200
        assert running.stop() == 0


def test_loads_and_unloads_of_one_model_are_one_after_the_other(served: Gateway) -> None:
    found: list[int] = []

    def change(action: str) -> None:
        for _ in range(5):
            found.append(call(served, f"simple/{action}")[0])

    threads = [threading.Thread(target=change, args=(action,)) for action in ("load", "unload") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 30
    assert call(served, "simple/load") == (200, "")
    assert answers(served, "/v2/models/simple/infer", SIMPLE) == {200}


@pytest.mark.parametrize("engine", ["native", "grpcio"])
def test_both_engines_of_grpc_control_models(repository: Path, engine: str) -> None:
    environment = {"GATEWAY_FRONTENDS__GRPC__ENGINE": engine}
    with (
        gateway(repository, "--insecure-dev", environment=environment) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):

        def ask(method: str, **fields: Any) -> Any:
            request, answer = getattr(pb, f"{method}Request"), getattr(pb, f"{method}Response")
            call_ = channel.unary_unary(
                f"/inference.GRPCInferenceService/{method}", request.SerializeToString, answer.FromString
            )
            return call_(request(**fields), timeout=20)

        parameters = {
            "config": pb.ModelRepositoryParameter(string_param="{}"),
            "file:1/model.onnx": pb.ModelRepositoryParameter(bytes_param=doubling()),
            "file:1/weights.data": pb.ModelRepositoryParameter(bytes_param=bytes(8 << 20)),
        }
        ask("RepositoryModelLoad", model_name="sent", parameters=parameters)
        assert result(running, "sent") == [2.0, 4.0]
        states = {one.name: one.state for one in ask("RepositoryIndex", ready=True).models}
        assert (states["sent"], states["simple"], "faulty" in states) == ("READY", "READY", False)
        ask("RepositoryModelUnload", model_name="sent")
        assert not ask("ModelReady", name="sent").ready
        with pytest.raises(grpc.RpcError) as refused:
            ask("RepositoryModelLoad", model_name="nobody")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert running.stop() == 0


def test_a_model_that_runs_code_takes_nothing_from_a_caller(served: Gateway, repository: Path) -> None:
    (repository / "coded" / "1").mkdir(parents=True)
    (repository / "coded" / "1" / "model.py").write_text("raise SystemExit('it is not even loaded')")
    (repository / "coded" / "config.pbtxt").write_text('backend: "python"')
    status, text = call(served, "coded/load", config='{"backend": "python"}')
    assert status == 400
    assert text.endswith("'config' and files are not taken for a model of the backend 'python'")
    content = base64.b64encode(b"import os").decode()
    config = json.dumps({"backend": "python", "default_model_filename": "model.onnx"})
    status, text = call(served, "echo/load", config=config, **{"file:1/model.onnx": content})
    assert status == 400
    assert "backend 'python'" in text or "default_model_filename" in text
    assert result(served, "echo") == [1.0, 2.0]


def test_labels_come_and_go_with_loads(served: Gateway) -> None:
    labels = {"gateway.labels": {"string_value": "stable=1"}}
    config = json.dumps({"version_policy": {"all": {}}, "parameters": labels})
    labelled = "/v2/models/echo/versions/stable/infer"
    assert call(served, "echo/load", config=config) == (200, "")
    assert answers(served, labelled, ROW) == {200}
    assert call(served, "echo/unload") == (200, "")
    assert answers(served, labelled, ROW) == {404}
    assert call(served, "echo/load") == (200, "")
    assert answers(served, labelled, ROW) == {404}
