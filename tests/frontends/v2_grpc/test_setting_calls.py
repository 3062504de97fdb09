from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.frontends.v2_grpc.setting_calls import SettingCalls
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.observing import Observing
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService
from tests.fakes.observing import observing


class Client:
    def __init__(self, settings: Observing | None = None) -> None:
        self.calls = SettingCalls(FakeInferenceService(), settings or observing())

    def ask(self, request: Message, status: bytes = b"0") -> Any:
        exchange = FakeExchange(Head(b"POST", b"/", (), http_version="2"))
        is_trace = isinstance(request, pb.TraceSettingRequest)
        (self.calls.trace if is_trace else self.calls.log)(request.SerializeToString(), exchange)
        assert exchange.trailers[b"grpc-status"] == status
        kind = pb.TraceSettingResponse if is_trace else pb.LogSettingsResponse
        return kind.FromString(exchange.body[5:]).settings


@pytest.mark.parametrize("model", ["", "fraud"])
def test_trace_settings(model: str) -> None:
    client = Client()
    request = pb.TraceSettingRequest(model_name=model)
    told = {name: list(setting.value) for name, setting in client.ask(request).items()}
    assert (told["trace_level"], told["trace_file"], len(told)) == (["OFF"], ["/var/traces.json"], 6)
    request.settings["trace_level"].value.extend(["TIMESTAMPS", "TENSORS"])
    request.settings["trace_rate"].value.append("2")
    changed = client.ask(request)
    assert list(changed["trace_level"].value) == ["TIMESTAMPS", "TENSORS"]
    assert list(changed["trace_rate"].value) == ["2"]
    back = pb.TraceSettingRequest(model_name=model)
    back.settings["trace_level"].SetInParent()
    assert list(client.ask(back)["trace_level"].value) == ["OFF"]
    request.settings["trace_mode"].value.append("opentelemetry")
    with pytest.raises(InvalidInput, match="'trace_mode'"):
        client.ask(request)


def test_trace_settings_of_no_model() -> None:
    with pytest.raises(ModelNotFound):
        Client().ask(pb.TraceSettingRequest(model_name="none"))


def test_log_settings() -> None:
    client = Client()
    told = client.ask(pb.LogSettingsRequest())
    assert told["log_file"].WhichOneof("parameter_choice") == "string_param"
    assert told["log_error"].bool_param is True
    request = pb.LogSettingsRequest()
    request.settings["log_info"].bool_param = False
    request.settings["log_verbose_level"].uint32_param = 3
    told = client.ask(request)
    assert (told["log_info"].bool_param, told["log_verbose_level"].uint32_param) == (False, 3)
    assert client.ask(pb.LogSettingsRequest(settings={"log_info": {}}))["log_info"].bool_param is True
    request.settings["log_file"].string_param = "/x"
    with pytest.raises(InvalidInput, match="'log_file'"):
        client.ask(request)


def test_changes_that_are_not_permitted() -> None:
    request = pb.LogSettingsRequest(settings={"log_info": {}})
    Client(Observing()).ask(request, b"7")
