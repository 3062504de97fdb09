from __future__ import annotations

import pytest

from gateway.core.errors import GatewayError, InvalidInput, ModelNotFound, Unsupported
from gateway.frontends.v2_grpc.fixed import FixedExtensions
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService


def ask(name, request):
    exchange = FakeExchange(Head(b"POST", b"/", (), http_version="2"))
    message = request if isinstance(request, bytes) else request.SerializeToString()
    FixedExtensions(FakeInferenceService()).calls()[name](message, exchange)
    assert exchange.trailers[b"grpc-status"] == b"0"
    return getattr(pb, f"{name}Response").FromString(exchange.body[5:])


@pytest.mark.parametrize("kind", ["System", "Cuda"])
def test_shared_memory(kind):
    assert not ask(f"{kind}SharedMemoryStatus", b"").regions
    for call in ("Register", "Unregister"):
        with pytest.raises(Unsupported, match="Client shared memory is disabled"):
            ask(f"{kind}SharedMemory{call}", b"")


@pytest.mark.parametrize("model", ["", "fraud"])
def test_trace_settings(model):
    request = pb.TraceSettingRequest(model_name=model)
    told = {name: list(setting.value) for name, setting in ask("TraceSetting", request).settings.items()}
    assert (told["trace_level"], told["trace_file"], len(told)) == (["OFF"], [""], 5)
    request.settings["trace_level"].SetInParent()
    assert len(ask("TraceSetting", request).settings) == 5
    request.settings["trace_level"].value.append("TIMESTAMPS")
    with pytest.raises(Unsupported, match="'trace_level'"):
        ask("TraceSetting", request)


def test_trace_settings_of_no_model():
    with pytest.raises(ModelNotFound):
        ask("TraceSetting", pb.TraceSettingRequest(model_name="none"))


def test_log_settings():
    told = ask("LogSettings", b"").settings
    assert told["log_file"].WhichOneof("parameter_choice") == "string_param"
    assert told["log_error"].bool_param is True
    assert told["log_verbose_level"].WhichOneof("parameter_choice") == "uint32_param"
    request = pb.LogSettingsRequest()
    request.settings["log_info"].bool_param = False
    with pytest.raises(Unsupported, match="'log_info'"):
        ask("LogSettings", request)
    with pytest.raises(InvalidInput):
        ask("LogSettings", pb.LogSettingsRequest(settings={"log_info": {}}))


def test_malformed():
    for name in FixedExtensions(FakeInferenceService()).calls():
        with pytest.raises(GatewayError, match="the message is not a"):
            ask(name, b"\xff")
