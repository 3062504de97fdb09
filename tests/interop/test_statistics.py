"""Statistics of a started gateway: what was answered before one asks is counted, whichever front did it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity, table
from tests.fakes.waiting import until_blocking

VALUES = (1.0, 2.0)
# Each ask is a connection of its own, and the kernel spreads those over the fronts.
ASKS = 40


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An echo that nobody calls in two versions, of which one has a label, and such as tests call."""
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        identity(folder / "idle" / version)
    (folder / "idle" / "config.pbtxt").write_text(
        "version_policy { all { } }\n"
        'parameters { key: "gateway.labels" value { string_value: "canary=2" } }\n'
    )
    for name in ("echo", "twice", "batched", "analyzed", "mortal"):
        identity(folder / name / "1")
    for name in ("batched", "analyzed"):
        (folder / name / "config.pbtxt").write_text(
            "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 20000 }"
        )
    table(folder / "table" / "1")
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "model.onnx").write_bytes(b"this is no model")
    return folder


@pytest.fixture(scope="module")
def served(repository: Path) -> Generator[Gateway]:
    """Two fronts, and nobody may control models: statistics change nothing."""
    with gateway(repository, "--fronts", "2") as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def by_grpcio(repository: Path) -> Generator[Gateway]:
    """The same with the other gRPC engine."""
    engine = {"GATEWAY_FRONTENDS__GRPC__ENGINE": "grpcio"}
    with gateway(repository, "--fronts", "2", environment=engine) as running:
        yield running


def body(rows: int = 1, values: tuple[float, ...] = VALUES) -> dict[str, Any]:
    data = list(values) * rows
    return {"inputs": [{"name": "X", "shape": [rows, len(values)], "datatype": "FP32", "data": data}]}


def call(served: Gateway, method: str, request: Any) -> Any:
    """One gRPC call on a connection of its own."""
    with grpc.insecure_channel(served.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        ask = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, f"{method}Response").FromString,
        )
        return ask(request, timeout=10)


def infer_by_grpc(served: Gateway, model: str, rows: int = 1) -> None:
    request = pb.ModelInferRequest(model_name=model)
    request.inputs.add(name="X", datatype="FP32", shape=[rows, 2])
    request.raw_input_contents.append(struct.pack("<2f", *VALUES) * rows)
    answer = call(served, "ModelInfer", request)
    assert answer.raw_output_contents[0] == request.raw_input_contents[0]


def statistics(served: Gateway, path: str) -> list[dict[str, Any]]:
    status, told, _ = served.ask(f"/v2/models/{path}stats")
    assert status == 200, told
    entries: list[dict[str, Any]] = told["model_stats"]
    return entries


def only(served: Gateway, model: str) -> dict[str, Any]:
    """The one entry, over REST, and the same over gRPC."""
    (entry,) = statistics(served, f"{model}/")
    (same,) = call(served, "ModelStatistics", pb.ModelStatisticsRequest(name=model)).model_stats
    assert [one.type for one in same.memory_usage] == [one["type"] for one in entry["memory_usage"]]
    for field in ("name", "version", "last_inference", "inference_count", "execution_count"):
        assert getattr(same, field) == entry[field]
    for kind, spent in entry["inference_stats"].items():
        told = getattr(same.inference_stats, kind)
        assert (told.count, told.ns) == (spent["count"], spent["ns"]), kind
    assert [one.batch_size for one in same.batch_stats] == [one["batch_size"] for one in entry["batch_stats"]]
    return entry


def counts(entry: dict[str, Any]) -> dict[str, int]:
    return {kind: spent["count"] for kind, spent in entry["inference_stats"].items()}


def test_every_request_is_counted_at_once_whichever_front_answered_it(served: Gateway) -> None:
    rows = 0
    for asked in range(ASKS):
        if asked % 2:
            assert served.infer("echo", body(asked % 3 + 1))[0] == 200
        else:
            infer_by_grpc(served, "echo", asked % 3 + 1)
        rows += asked % 3 + 1
        # Asked on another connection, so by chance of the other front.
        (entry,) = statistics(served, "echo/versions/1/")
        assert counts(entry)["success"] == asked + 1
    entry = only(served, "echo")
    served_of = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    assert counts(entry) == {**dict.fromkeys(served_of, ASKS), "fail": 0, "cache_hit": 0, "cache_miss": 0}
    times = {kind: spent["ns"] for kind, spent in entry["inference_stats"].items()}
    assert all(times[kind] > 0 for kind in served_of)
    assert sum(times[kind] for kind in served_of[1:]) <= times["success"]
    # This model is known by its file, which has a batch axis.
    assert (entry["inference_count"], entry["execution_count"]) == (rows, ASKS)
    assert entry["response_stats"] == {}
    (memory,) = entry["memory_usage"]
    assert (memory["type"], memory["id"]) == ("CPU", 0)
    assert memory["byte_size"] > 1 << 20


def test_batches_are_counted_once_and_requests_each(served: Gateway) -> None:
    gate = threading.Barrier(16)

    def ask(rows: int) -> None:
        gate.wait(30)
        assert served.infer("batched", body(rows))[0] == 200

    assert served.infer("batched", body())[0] == 200  # it is loaded now
    callers = [threading.Thread(target=ask, args=(1 + number % 2,)) for number in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    entry = only(served, "batched")
    assert counts(entry)["success"] == 17
    assert entry["inference_count"] == 1 + 8 + 16
    batches = entry["batch_stats"]
    assert [one["batch_size"] for one in batches] == sorted({one["batch_size"] for one in batches})
    for kind in ("compute_input", "compute_infer", "compute_output"):
        assert sum(one[kind]["count"] for one in batches) == entry["execution_count"]
        assert sum(one[kind]["ns"] for one in batches) <= entry["inference_stats"][kind]["ns"]
    assert sum(one["batch_size"] * one["compute_infer"]["count"] for one in batches) == 25
    assert entry["execution_count"] < 17, "nobody shared a batch"


def test_failures_are_counted_and_are_no_inferences(served: Gateway) -> None:
    good = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "INT64", "data": [1]}]}
    bad = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "INT64", "data": [99]}]}
    wrong = {"inputs": [{"name": "Z", "shape": [1, 1], "datatype": "INT64", "data": [1]}]}
    statuses = [served.infer("table", one)[0] for one in (good, bad, wrong, wrong, good)]
    assert statuses[0] == statuses[4] == 200
    assert all(status >= 400 for status in statuses[1:4])
    entry = only(served, "table")
    told = counts(entry)
    assert (told["success"], told["fail"], told["queue"]) == (2, 3, 2)
    assert (entry["inference_count"], entry["execution_count"]) == (2, 2)
    assert entry["inference_stats"]["fail"]["ns"] > 0


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("idle/", ["1", "2"]),
        ("idle/versions/1/", ["1"]),
        ("idle/versions/2/", ["2"]),
        ("idle/versions/canary/", ["2"]),
    ],
)
def test_a_model_that_nobody_called_has_zeros(served: Gateway, path: str, versions: list[str]) -> None:
    entries = statistics(served, path)
    assert [entry["version"] for entry in entries] == versions
    for entry in entries:
        assert entry["last_inference"] == entry["inference_count"] == entry["execution_count"] == 0
        assert set(counts(entry).values()) == {0}
        assert entry["batch_stats"] == []


def test_all_models_and_unknown_ones(served: Gateway) -> None:
    names = [(entry["name"], entry["version"]) for entry in statistics(served, "")]
    assert names == sorted(names)
    assert {("idle", "1"), ("idle", "2"), ("echo", "1"), ("broken", "1")} <= set(names)
    of_all = call(served, "ModelStatistics", pb.ModelStatisticsRequest()).model_stats
    assert [(one.name, one.version) for one in of_all] == names
    for path, text in (
        ("none/stats", "Request for unknown model: 'none' is not found"),
        ("echo/versions/9/stats", "Request for unknown model: 'echo' version 9 is not found"),
    ):
        status, told, _ = served.ask(f"/v2/models/{path}")
        assert (status, told["error"]) == (404, text)
    with pytest.raises(grpc.RpcError) as refused:
        call(served, "ModelStatistics", pb.ModelStatisticsRequest(name="none"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_what_a_dead_front_had_told_stays(served: Gateway) -> None:
    for _ in range(ASKS):
        assert served.infer("mortal", body())[0] == 200
    before = only(served, "mortal")
    assert counts(before)["success"] == ASKS
    for front in served.processes("front"):
        served.kill(front)
        until_blocking(lambda front=front: not front.is_running())  # type: ignore[misc]
        until_blocking(lambda: len(served.processes("front")) == 2 and served.is_healthy())
    after = only(served, "mortal")
    del before["memory_usage"], after["memory_usage"]  # its worker has answered more fronts since
    assert after == before
    assert served.infer("mortal", body())[0] == 200
    assert counts(only(served, "mortal"))["success"] == ASKS + 1


@pytest.mark.parametrize("engine", ["served", "by_grpcio"])
def test_a_load_generator_finds_all_it_asks_for(engine: str, request: pytest.FixtureRequest) -> None:
    """The calls of Triton's perf_analyzer, in its order, over both protocols."""
    served: Gateway = request.getfixturevalue(engine)
    model = "analyzed"
    about = served.ask("/v2")[1]
    assert {"model_configuration", "statistics", "binary_tensor_data"} <= set(about["extensions"])
    told = call(served, "ServerMetadata", pb.ServerMetadataRequest())
    assert {"model_configuration", "statistics"} <= set(told.extensions)
    metadata = served.ask(f"/v2/models/{model}")[1]
    assert [one["name"] for one in metadata["inputs"]] == ["X"]
    assert call(served, "ModelMetadata", pb.ModelMetadataRequest(name=model)).inputs[0].name == "X"
    config = served.ask(f"/v2/models/{model}/config")[1]
    assert config["max_batch_size"] == 8
    assert not config.get("model_transaction_policy", {}).get("decoupled", False)
    assert "dynamic_batching" in config
    assert [(one["name"], one["optional"], one["is_shape_tensor"]) for one in config["input"]] == [
        ("X", False, False)
    ]
    assert not config.get("response_cache", {}).get("enable", False)
    assert call(served, "ModelConfig", pb.ModelConfigRequest(name=model)).config.max_batch_size == 8
    for window in range(1, 4):
        before = only(served, model)
        for _ in range(5):
            assert served.infer(model, body(2))[0] == 200
            infer_by_grpc(served, model, 2)
        after = only(served, model)
        assert after["inference_count"] - before["inference_count"] == 20
        assert after["execution_count"] - before["execution_count"] == 10
        grown = {kind: count - counts(before)[kind] for kind, count in counts(after).items()}
        assert grown["success"] == grown["queue"] == grown["compute_infer"] == 10
        assert counts(after)["success"] == 10 * window
        assert after["last_inference"] > before["last_inference"]
