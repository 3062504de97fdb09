"""What is told of models, and why it is not, is the same over REST and both engines of gRPC."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from gateway.generated import open_inference_pb2 as pb
from tests.conformance.test_conformance import CONTRACT
from tests.fakes.gateway_process import Gateway

SERVICE = "/inference.GRPCInferenceService/"


def rest(running: Gateway, path: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(running.http + path, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else {}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def called(running: Gateway, name: str, request: Message) -> bytes:
    with grpc.insecure_channel(running.grpc) as channel:
        return channel.unary_unary(SERVICE + name)(request.SerializeToString(), timeout=30)


def plain(message: bytes) -> dict[str, object]:
    """A ModelMetadataResponse as REST's JSON has it: names as in the file, 64-bit integers as numbers."""
    told = MessageToDict(pb.ModelMetadataResponse.FromString(message), preserving_proto_field_name=True)
    for tensor in (*told["inputs"], *told["outputs"]):
        tensor["shape"] = [int(dim) for dim in tensor["shape"]]
    return told


@pytest.mark.parametrize(
    "model", ["echo_fp32", "echo_bytes", "echo_bf16", "simple", "table", "busy", "twice_of_each", "nested"]
)
def test_a_model_is_described_alike(gateways: Mapping[str, Gateway], model: str) -> None:
    status, told = rest(gateways["native"], f"/v2/models/{model}")
    assert (status, told["name"]) == (200, model)
    for running in gateways.values():
        assert plain(called(running, "ModelMetadata", pb.ModelMetadataRequest(name=model))) == told


@pytest.mark.parametrize(
    ("model", "version", "code"),
    [
        ("absent", "", "NOT_FOUND"),
        ("simple", "9", "NOT_FOUND"),
        ("simple", "1x", "INVALID_INPUT"),
        ("simple", "canary", "NOT_FOUND"),
        ("broken", "", "MODEL_UNAVAILABLE"),
    ],
)
def test_what_cannot_be_described_has_one_reason(
    gateways: Mapping[str, Gateway], model: str, version: str, code: str
) -> None:
    status, told = rest(
        gateways["native"], f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
    )
    assert (str(status), told["code"]) == (CONTRACT[code][0], code)
    for running in gateways.values():
        with pytest.raises(grpc.RpcError) as raised:
            called(running, "ModelMetadata", pb.ModelMetadataRequest(name=model, version=version))
        assert (raised.value.code().name, raised.value.details()) == (CONTRACT[code][1], told["error"])


def test_readiness_agrees(gateways: Mapping[str, Gateway]) -> None:
    for running in gateways.values():
        assert rest(running, "/v2/health/live")[0] == rest(running, "/v2/health/ready")[0] == 200
        live = pb.ServerLiveResponse.FromString(called(running, "ServerLive", pb.ServerLiveRequest()))
        ready = pb.ServerReadyResponse.FromString(called(running, "ServerReady", pb.ServerReadyRequest()))
        assert live.live
        assert ready.ready
        for model, is_ready in (("simple", True), ("absent", False), ("nested", True), ("of_none", False)):
            answer = called(running, "ModelReady", pb.ModelReadyRequest(name=model))
            assert pb.ModelReadyResponse.FromString(answer).ready is is_ready
            assert (rest(running, f"/v2/models/{model}/ready")[0] == 200) is is_ready
