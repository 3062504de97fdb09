from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.frontends.v2_grpc.metadata import Metadata
from gateway.generated import open_inference_pb2 as pb
from gateway.repository.normalised import completed
from gateway.wire.exchange import Head
from tests.fakes.inference import FRAUD, FakeExchange, FakeInferenceService

HEAD = Head(b"POST", b"/", (), http_version="2")


def ask(method, question, kind, service=None):
    exchange = FakeExchange(HEAD)
    metadata = Metadata(service or FakeInferenceService(), "gw", "1.2")
    message = question if isinstance(question, bytes) else question.SerializeToString()
    getattr(metadata, method)(message, exchange)
    if exchange.trailers[b"grpc-status"] != b"0":
        return exchange.trailers[b"grpc-status"]
    return kind.FromString(exchange.body[5:])


@pytest.mark.parametrize("is_well", [True, False])
def test_server(is_well):
    service = FakeInferenceService()
    service.live = service.ready = is_well
    assert ask("server_live", b"", pb.ServerLiveResponse, service).live is is_well
    assert ask("server_ready", b"", pb.ServerReadyResponse, service).ready is is_well


def test_server_metadata():
    told = ask("server_metadata", b"", pb.ServerMetadataResponse)
    assert (told.name, told.version, told.extensions) == (
        "gw",
        "1.2",
        ["classification", "schedule_policy", "model_configuration", "parameters", "statistics"],
    )


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("fraud", "", True), ("fraud", "3", True), ("fraud", "9", False), ("none", "", False)],
)
def test_model_ready(name, version, ready):
    question = pb.ModelReadyRequest(name=name, version=version)
    assert ask("model_ready", question, pb.ModelReadyResponse).ready is ready


def test_model_metadata():
    told = ask("model_metadata", pb.ModelMetadataRequest(name="fraud"), pb.ModelMetadataResponse)
    assert (told.name, told.versions, told.platform) == ("fraud", ["1", "3"], "onnxruntime_onnx")
    assert [(t.name, t.datatype, list(t.shape)) for t in (*told.inputs, *told.outputs)] == [
        ("features", "FP32", [-1, 30]),
        ("score", "FP32", [-1, 1]),
    ]
    assert ask("model_metadata", pb.ModelMetadataRequest(name="none"), None) == b"5"


def test_model_config():
    config = ask("model_config", pb.ModelConfigRequest(name="fraud"), pb.ModelConfigResponse).config
    assert config == completed(b"", FRAUD)
    assert (config.name, config.max_batch_size) == ("fraud", FRAUD.max_batch_size)
    assert ask("model_config", pb.ModelConfigRequest(name="none"), None) == b"5"


@pytest.mark.parametrize(
    "method",
    [
        *("server_live", "server_ready", "server_metadata"),
        *("model_ready", "model_metadata", "model_config"),
    ],
)
def test_malformed(method):
    with pytest.raises(InvalidInput, match="the message is not a"):
        ask(method, b"\xff", None)


@pytest.mark.parametrize("method", ["model_ready", "model_metadata", "model_config"])
def test_names_are_checked(method):
    for question in (pb.ModelReadyRequest(name="../x"), pb.ModelReadyRequest(name="m", version="1x")):
        with pytest.raises(InvalidInput):
            ask(method, question, None)
