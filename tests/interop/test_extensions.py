"""The protocol's extensions against a started gateway, over REST and over gRPC."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from http.client import HTTPConnection
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway

FIRST = np.arange(16, dtype=np.int32)[None]
SECOND = np.full((1, 16), 100, np.int32)


@pytest.fixture
def channel(gateway_process: Gateway) -> Generator[grpc.Channel]:
    with grpc.insecure_channel(gateway_process.grpc) as channel:
        yield channel


def call(channel: grpc.Channel, name: str, request: Any, answer: str = "") -> Any:
    """One call of the inference service."""
    method = channel.unary_unary(
        f"/inference.GRPCInferenceService/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(pb, answer or f"{name}Response").FromString,
    )
    return method(request, timeout=10)


def post(
    gateway: Gateway, path: str, body: bytes, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, body and headers (lower case) of one POST."""
    connection = HTTPConnection(gateway.http.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
    finally:
        connection.close()


def sums(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """A request to `simple`."""
    inputs = [
        {"name": name, "shape": [1, 16], "datatype": "INT32", "data": array.ravel().tolist()}
        for name, array in (("INPUT0", FIRST), ("INPUT1", SECOND))
    ]
    return {"inputs": inputs, "outputs": outputs}


def test_classes_over_rest(gateway_process: Gateway) -> None:
    asked = [{"name": "OUTPUT0", "parameters": {"classification": 3}}, {"name": "OUTPUT1"}]
    status, answer, _ = gateway_process.infer("simple", sums(asked))
    assert status == 200
    classes, differences = answer["outputs"]
    assert (classes["datatype"], classes["shape"]) == ("BYTES", [1, 3])
    assert classes["data"] == ["115:15", "114:14", "113:13"]
    assert differences["data"] == (FIRST - SECOND).ravel().tolist()


@pytest.mark.parametrize("count", [0, -1, "3", 1.5])
def test_a_bad_class_count_is_refused(gateway_process: Gateway, count: object) -> None:
    asked = [{"name": "OUTPUT0", "parameters": {"classification": count}}]
    status, answer, _ = gateway_process.infer("simple", sums(asked))
    assert (status, "classification" in answer["error"]) == (400, True)


def test_classes_over_grpc(channel: grpc.Channel) -> None:
    request = pb.ModelInferRequest(
        model_name="simple", raw_input_contents=[FIRST.tobytes(), SECOND.tobytes()]
    )
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
    request.outputs.add(name="OUTPUT0").parameters["classification"].int64_param = 1
    answer = call(channel, "ModelInfer", request)
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [1, 1])
    assert answer.raw_output_contents == [b"\x06\0\0\x00115:15"]


RAW = {"Inference-Header-Content-Length": "0"}


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("echo_fp32", bytes(range(16)), bytes(range(16))),
        ("fraud", bytes(120), None),
    ],
)
def test_a_raw_request(gateway_process: Gateway, model: str, body: bytes, expected: bytes | None) -> None:
    status, answer, headers = post(gateway_process, f"/v2/models/{model}/infer", body, RAW)
    assert status == 200, answer
    size = int(headers["inference-header-content-length"])
    assert json.loads(answer[:size])["model_name"] == model
    assert expected in {None, answer[size:]}


@pytest.mark.parametrize(
    ("model", "body", "told"),
    [
        ("fraud", bytes(119), "expecting 120 bytes"),
        ("simple", bytes(64), "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs"),
        ("echo_bytes", b"x", "For BYTE datatype raw input 'X'"),
    ],
)
def test_a_raw_request_that_cannot_be_read(
    gateway_process: Gateway, model: str, body: bytes, told: str
) -> None:
    status, answer, _ = post(gateway_process, f"/v2/models/{model}/infer", body, RAW)
    assert (status, told in json.loads(answer)["error"]) == (400, True), answer


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_as_json_numbers(gateway_process: Gateway, datatype: str) -> None:
    values = [1, -1.5, 0.0078125]
    given = {"name": "X", "shape": [1, 3], "datatype": datatype, "data": values}
    status, answer, _ = gateway_process.infer(f"echo_{datatype.lower()}", {"inputs": [given]})
    assert (status, answer["outputs"][0]["data"]) == (200, values)
    status, answer, _ = gateway_process.infer(
        f"echo_{datatype.lower()}", {"inputs": [given | {"data": [1, 2, 1e39]}]}
    )
    assert (status, f"every element of {datatype}" in answer["error"]) == (400, True)


def test_extensions_that_are_off_over_rest(gateway_process: Gateway) -> None:
    for kind in ("system", "cuda"):
        assert gateway_process.ask(f"/v2/{kind}sharedmemory/status")[:2] == (200, [])
        status, answer, _ = gateway_process.ask(f"/v2/{kind}sharedmemory/region/a/register", {"key": "/a"})
        assert (status, answer["code"]) == (501, "UNSUPPORTED")
    assert post(gateway_process, "/v2/systemsharedmemory/status", b"")[0] == 405


def test_extensions_that_are_off_over_grpc(channel: grpc.Channel) -> None:
    assert not call(channel, "SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()).regions
    refused = {
        "CudaSharedMemoryRegister": pb.CudaSharedMemoryRegisterRequest(name="a"),
        "SystemSharedMemoryUnregister": pb.SystemSharedMemoryUnregisterRequest(),
    }
    for name, request in refused.items():
        with pytest.raises(grpc.RpcError) as error:
            call(channel, name, request)
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_generate(gateway_process: Gateway) -> None:
    numbers = FIRST.ravel().tolist()
    body = {"INPUT0": numbers, "INPUT1": [numbers], "id": "7"}
    status, answer, _ = gateway_process.ask("/v2/models/simple/generate", body)
    assert (status, answer["id"], answer["model_name"], answer["model_version"]) == (200, "7", "simple", "1")
    assert (answer["OUTPUT0"], answer["OUTPUT1"]) == ([2 * number for number in numbers], [0] * 16)
    status, answer, _ = gateway_process.ask("/v2/models/echo_bytes/generate", {"X": "naïve 猫"})
    assert (status, answer["Y"]) == (200, "naïve 猫")
    status, answer, _ = gateway_process.ask("/v2/models/simple/generate", {"INPUT0": numbers})
    assert (status, "INPUT1" in answer["error"]) == (400, True)
    assert gateway_process.ask("/v2/models/absent/generate", {})[0] == 404


def test_generate_stream_is_one_event(gateway_process: Gateway) -> None:
    path = "/v2/models/echo_fp32/generate_stream"
    status, body, headers = post(gateway_process, path, b'{"X":[1,2]}')
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert body == b'data: {"model_name":"echo_fp32","model_version":"1","Y":[1.0,2.0]}\n\n'
    status, body, headers = post(gateway_process, path, b'{"X":"text"}')
    assert (status, headers["content-type"]) == (400, "application/json")


def test_health_in_words(gateway_process: Gateway) -> None:
    assert gateway_process.ask("/v2/health/live")[:2] == (200, {"live": True})
    assert gateway_process.ask("/v2/health/ready")[:2] == (200, {"ready": True})
    assert gateway_process.ask("/v2/models/fraud/ready")[:2] == (200, {"name": "fraud", "ready": True})


def test_a_model_describes_its_endpoints(gateway_process: Gateway) -> None:
    status, document, _ = gateway_process.ask("/v2/models/simple/docs")
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert set(document["paths"]) == {
        f"/v2/models/simple{rest}" for rest in ("", "/ready", "/config", "/stats", "/infer", "/generate")
    }


def test_headers_that_come_back(gateway_process: Gateway) -> None:
    body = json.dumps(sums([])).encode()
    sent = {"X-Request-Id": "abc", "ce-id": "7", "ce-specversion": "1.0", "ce-source": "me", "ce-type": "t"}
    status, answer, headers = post(gateway_process, "/v2/models/simple/infer", body, sent)
    assert (status, json.loads(answer)["id"], headers["x-request-id"]) == (200, "abc", "abc")
    assert (headers["ce-id"], headers["ce-specversion"]) == ("7", "1.0")
    assert headers["ce-source"] == "io.kserve.inference.simple"
    status, answer, headers = post(gateway_process, "/v2/models/simple/infer", body)
    assert "id" not in json.loads(answer)
    assert not {"x-request-id", "ce-id"} & set(headers)
    status, _, headers = post(gateway_process, "/v2/models/absent/infer", body, {"X-Request-Id": "abc"})
    assert (status, headers["x-request-id"]) == (404, "abc")


def test_bytes_spelled_in_base64(gateway_process: Gateway) -> None:
    spelled = {"content_type": "base64"}
    given = {"name": "X", "shape": [1, 2], "datatype": "BYTES", "data": ["w6k=", "YQ=="]}
    given["parameters"] = spelled
    asked = {"inputs": [given], "outputs": [{"name": "Y", "parameters": spelled}]}
    status, answer, _ = gateway_process.infer("echo_bytes", asked)
    assert (status, answer["outputs"][0]["data"]) == (200, ["w6k=", "YQ=="])
    status, answer, _ = gateway_process.infer("echo_bytes", {"inputs": [given]})
    assert (status, answer["outputs"][0]["data"]) == (200, ["é", "a"])
    status, answer, _ = gateway_process.infer("echo_bytes", {"inputs": [given | {"data": ["?", ""]}]})
    assert (status, "base64" in answer["error"]) == (400, True)


def test_a_stateful_model_is_not_for_several_fronts(gateway_process: Gateway) -> None:
    config = '{"max_batch_size": 4, "sequence_batching": {}}'
    body = {"parameters": {"config": config}}
    status, answer, _ = gateway_process.ask("/v2/repository/models/echo_fp32/load", body)
    assert status == 400
    assert answer["error"].endswith("sequence_batching: is supported with server.fronts = 1, there are 2")
