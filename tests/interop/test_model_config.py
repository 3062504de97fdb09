"""What a config.pbtxt says, seen from outside: the configuration itself, labels, reshapes, warm-ups."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from onnx import TensorProto, helper

from gateway.generated import model_config_pb2
from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity, save
from tests.fakes.waiting import until_blocking

WARM = """
    max_batch_size: 4
    input { name: "X" data_type: TYPE_FP32 dims: 2 }
    output { name: "Y" data_type: TYPE_FP32 dims: 2 label_filename: "names.txt" }
    instance_group { count: 2 kind: KIND_CPU }
    optimization { graph { level: 1 } }
    model_warmup {
      name: "file" batch_size: 4 count: 2
      inputs { key: "X" value { data_type: TYPE_FP32 dims: 2 input_data_file: "x.raw" } }
    }
    model_warmup {
      name: "random" inputs { key: "X" value { data_type: TYPE_FP32 dims: 2 random_data: true } }
    }
"""
COLD = """
    max_batch_size: 4
    model_warmup {
      name: "wrong" inputs { key: "Z" value { data_type: TYPE_FP32 dims: 2 zero_data: true } }
    }
"""
RESHAPED = """
    max_batch_size: 4
    input { name: "X" data_type: TYPE_FP32 dims: 4 reshape { shape: [ 2, 2 ] } }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 4, 1 ] reshape { shape: [ 2, 2 ] } }
"""

WIDE = """
    max_batch_size: 4
    input { name: "X" data_type: TYPE_FP32 dims: -1 reshape { shape: [ -1, 1 ] } }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 1, -1 ] reshape { shape: [ -1, 1 ] } }
"""

INLINE = """
    parameters { key: "gateway.isolation" value { string_value: "inline" } }
    model_warmup {
      inputs { key: "X" value { data_type: TYPE_FP32 dims: 4 random_data: true } }
    }
"""


def labelled(labels: str) -> str:
    """All versions, some of them with names."""
    return f"""
        version_policy {{ all {{ }} }}
        parameters {{ key: "gateway.labels" value {{ string_value: "{labels}" }} }}
    """


def adds(folder: Path, number: float) -> None:
    """Y = X + number."""
    ends = [("X", TensorProto.FLOAT, ["n", 2])], [("Y", TensorProto.FLOAT, ["n", 2])]
    save(folder, [helper.make_node("Add", ["X", "c"], ["Y"])], *ends, [("c", np.float32([number]))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def served(folder: Path) -> Generator[Gateway]:
    for name, labels in (("labelled", "stable=1, canary=3, gone=7"), ("moving", "stable=1")):
        for version in (1, 2, 3):
            adds(folder / name / str(version), version)
        (folder / name / "config.pbtxt").write_text(labelled(labels))
    for name, config in (("warm", WARM), ("cold", COLD)):
        identity(folder / name / "1", dims=("n", 2))
        (folder / name / "config.pbtxt").write_text(config)
    (folder / "warm" / "names.txt").write_text("cat\ndog\n")
    (folder / "warm" / "warmup").mkdir()
    (folder / "warm" / "warmup" / "x.raw").write_bytes(np.float32([1, 2]).tobytes())
    identity(folder / "reshaped" / "1", dims=("n", 2, 2))
    (folder / "reshaped" / "config.pbtxt").write_text(RESHAPED)
    identity(folder / "inline" / "1", dims=("n", 2, 2))
    (folder / "inline" / "config.pbtxt").write_text(RESHAPED + INLINE)
    identity(folder / "wide" / "1", dims=("n", "m", 1))
    (folder / "wide" / "config.pbtxt").write_text(WIDE)
    identity(folder / "scalars" / "1", dims=("n",))
    identity(folder / "unbatched" / "1", dims=(3,))
    (folder / "unbatched" / "config.pbtxt").write_text("max_batch_size: 8")
    with gateway(folder, environment={"GATEWAY_REPOSITORY__POLL_S": "0.1"}) as running:
        yield running


@pytest.fixture
def channel(served: Gateway) -> Generator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc) as channel:
        yield channel


def call(channel: grpc.Channel, name: str, message: Any) -> Any:
    made = channel.unary_unary(
        f"/inference.GRPCInferenceService/{name}",
        request_serializer=lambda one: one.SerializeToString(),
        response_deserializer=getattr(pb, f"{name}Response").FromString,
    )
    return made(message, timeout=20)


def tensor(*rows: list[float], shape: list[int] | None = None) -> dict[str, Any]:
    array = np.float32(rows)
    data = array.ravel().tolist()
    return {"inputs": [{"name": "X", "datatype": "FP32", "shape": shape or list(array.shape), "data": data}]}


@pytest.mark.parametrize("model", ["labelled", "warm", "reshaped", "scalars"])
def test_the_configuration_is_the_same_over_rest_and_grpc(
    served: Gateway, channel: grpc.Channel, model: str
) -> None:
    status, body, headers = served.ask(f"/v2/models/{model}/config")
    assert (status, headers["content-type"]) == (200, "application/json")
    config = call(channel, "ModelConfig", pb.ModelConfigRequest(name=model)).config
    assert json_format.ParseDict(body, model_config_pb2.ModelConfig()) == config
    assert (config.name, config.platform, config.backend) == (model, "onnxruntime_onnx", "onnxruntime")
    version = "3" if model == "labelled" else "1"
    assert served.ask(f"/v2/models/{model}/versions/{version}/config")[1] == body


def test_what_the_file_says_completes_the_configuration(served: Gateway) -> None:
    body = served.ask("/v2/models/scalars/config")[1]
    assert body["max_batch_size"] == 64
    assert body["dynamic_batching"]["preferred_batch_size"] == [64]
    assert (body["input"][0]["dims"], body["input"][0]["reshape"]) == ([1], {"shape": []})
    body = served.ask("/v2/models/warm/config")[1]
    assert "dynamic_batching" not in body
    assert body["output"][0]["label_filename"] == "names.txt"
    assert body["model_warmup"][0]["inputs"]["X"]["dims"] == [2]
    assert body["instance_group"][0]["count"] == 2


def test_the_extension_is_told_of(served: Gateway, channel: grpc.Channel) -> None:
    assert "model_configuration" in served.ask("/v2")[1]["extensions"]
    assert "model_configuration" in call(channel, "ServerMetadata", pb.ServerMetadataRequest()).extensions


def test_the_configuration_of_something_unknown_is_not_found(served: Gateway, channel: grpc.Channel) -> None:
    for path in ("none/config", "labelled/versions/9/config", "labelled/versions/beta/config"):
        status, body, _ = served.ask(f"/v2/models/{path}")
        assert (status, "Request for unknown model" in body["error"]) == (404, True)
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelConfig", pb.ModelConfigRequest(name="labelled", version="beta"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("version", "number"), [("stable", 1), ("canary", 3), ("2", 2), ("", 3)])
def test_a_label_stands_wherever_a_version_does(
    served: Gateway, channel: grpc.Channel, version: str, number: int
) -> None:
    base = "/v2/models/labelled" + (f"/versions/{version}" if version else "")
    status, body, _ = served.ask(f"{base}/infer", tensor([1.0, 2.0]))
    assert (status, body["model_version"]) == (200, str(number))
    assert body["outputs"][0]["data"] == [1.0 + number, 2.0 + number]
    assert served.ask(f"{base}/ready")[0] == 200
    assert served.ask(base)[1]["name"] == "labelled"
    assert served.ask(f"{base}/config")[0] == 200
    message = pb.ModelInferRequest(
        model_name="labelled", model_version=version, raw_input_contents=[np.float32([1, 2]).tobytes()]
    )
    message.inputs.add(name="X", datatype="FP32", shape=[1, 2])
    answer = call(channel, "ModelInfer", message)
    assert answer.model_version == str(number)
    assert np.frombuffer(answer.raw_output_contents[0], "f4").tolist() == [1.0 + number, 2.0 + number]
    ready = pb.ModelReadyRequest(name="labelled", version=version)
    assert call(channel, "ModelReady", ready).ready


@pytest.mark.parametrize(
    ("label", "status", "text"),
    [
        ("beta", 404, "'labelled' has no label 'beta'"),
        ("gone", 404, "'labelled' version 7, which label 'gone' names, is not found"),
        ("1st", 400, "a model version is an integral value > 0, or a label"),
    ],
)
def test_a_label_that_leads_nowhere_says_so(
    served: Gateway, channel: grpc.Channel, label: str, status: int, text: str
) -> None:
    found, body, _ = served.ask(f"/v2/models/labelled/versions/{label}/infer", tensor([1.0, 2.0]))
    assert (found, text in body["error"]) == (status, True)
    message = pb.ModelInferRequest(model_name="labelled", model_version=label)
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "ModelInfer", message)
    codes = {404: grpc.StatusCode.NOT_FOUND, 400: grpc.StatusCode.INVALID_ARGUMENT}
    assert (caught.value.code(), text in caught.value.details()) == (codes[status], True)


def test_a_label_moves_while_the_gateway_runs_and_nothing_is_loaded_anew(
    served: Gateway, folder: Path
) -> None:
    def answering() -> str:
        status, body, _ = served.ask("/v2/models/moving/versions/stable/infer", tensor([1.0, 2.0]))
        assert status == 200
        return str(body["model_version"])

    assert served.ask("/v2/models/moving/versions/2/infer", tensor([1.0, 2.0]))[0] == 200
    assert answering() == "1"
    workers = {worker.pid for worker in served.processes("gateway-worker")}
    (folder / "moving" / "config.pbtxt").write_text(labelled("stable=2"))
    until_blocking(lambda: answering() == "2")
    shown = served.ask("/v2/models/moving/versions/stable/config")[1]["parameters"]
    assert shown == {"gateway.labels": {"string_value": "stable=2"}}
    assert {worker.pid for worker in served.processes("gateway-worker")} == workers


def test_a_model_that_was_warmed_up_answers(served: Gateway) -> None:
    status, body, _ = served.infer("warm", tensor([5.0, 6.0]))
    assert (status, body["outputs"][0]["data"]) == (200, [5.0, 6.0])
    phase = '{model="warm",phase="warm_up",version="1"}'
    assert served.page()[f"gateway_cold_start_phase_seconds_count{phase}"] >= 1


def test_a_warm_up_that_fails_fails_the_load_with_its_reason(served: Gateway) -> None:
    status, body, _ = served.infer("cold", tensor([5.0, 6.0]))
    assert status == 503
    assert "warm-up 'wrong' failed: input 'X' is missing" in body["error"]
    assert served.ask("/v2/models/cold/config")[0] == 503


def test_what_the_file_cannot_do_fails_in_triton_s_words(served: Gateway) -> None:
    status, body, _ = served.infer("unbatched", tensor([1.0, 2.0, 3.0]))
    assert status == 503
    assert (
        "autofill failed for model 'unbatched': model does not support batching while non-zero "
        "max_batch_size is specified"
    ) in body["error"]


def test_callers_and_engine_each_see_their_own_shape(served: Gateway) -> None:
    for model in ("reshaped", "inline"):
        status, body, _ = served.infer(model, tensor([1, 2, 3, 4], [5, 6, 7, 8]))
        assert status == 200
        assert body["outputs"][0] == {
            "name": "Y",
            "datatype": "FP32",
            "shape": [2, 4, 1],
            "data": [1, 2, 3, 4, 5, 6, 7, 8],
        }
    status, body, _ = served.infer("scalars", tensor([7], [8]))
    assert (status, body["outputs"][0]["shape"], body["outputs"][0]["data"]) == (200, [2, 1], [7, 8])
    status, body, _ = served.infer("reshaped", tensor([1, 2, 3, 4], shape=[1, 2, 2]))
    assert (status, "expected [-1, 4]" in body["error"]) == (400, True)


def test_a_reshape_moves_nothing_of_what_lies_in_shared_memory(channel: grpc.Channel) -> None:
    sent = np.arange(1 << 19, dtype="<f4").reshape(2, -1)
    message = pb.ModelInferRequest(model_name="wide", raw_input_contents=[sent.tobytes()])
    message.inputs.add(name="X", datatype="FP32", shape=sent.shape)
    answer = call(channel, "ModelInfer", message)
    assert list(answer.outputs[0].shape) == [2, 1, 1 << 18]
    assert answer.raw_output_contents[0] == sent.tobytes()
