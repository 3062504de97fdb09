"""The trace and logging extensions over gRPC: TraceSetting and LogSettings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.core.errors import GatewayError
from gateway.core.messages import Ticket
from gateway.core.model import check_name
from gateway.frontends.observing import read_log, read_trace, tell_log, tell_trace
from gateway.frontends.v2_grpc.endpoints import answer_message
from gateway.frontends.v2_grpc.errors import answer_error
from gateway.frontends.v2_grpc.metadata import read
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.observing import Changed, Observing
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange

EXTENSIONS = ("trace", "logging")


class SettingCalls:
    """The settings of one gateway, read and changed through one front; each method is a `Call`."""

    def __init__(self, service: InferenceService, observing: Observing) -> None:
        self._service = service
        self._observing = observing

    def trace(self, message: bytes, exchange: Exchange) -> None:
        """A setting without values takes it back."""
        asked = read(pb.TraceSettingRequest, message)
        model = check_name(asked.model_name) if asked.model_name else ""
        if model:
            self._service.is_model_ready(model, 0, exchange.caller)
        change = read_trace({name: list(setting.value) for name, setting in asked.settings.items()})
        then = partial(self._tell_trace, model, exchange)
        if not asked.settings:
            then()
            return
        _hold(exchange, self._observing.change_trace(model, change, _told(exchange, then)))

    def _tell_trace(self, model: str, exchange: Exchange) -> None:
        told = pb.TraceSettingResponse()
        for name, texts in tell_trace(self._observing, model).items():
            told.settings[name].value.extend(texts)
        answer_message(exchange, told.SerializeToString())

    def log(self, message: bytes, exchange: Exchange) -> None:
        """A setting without a value takes it back."""
        asked = read(pb.LogSettingsRequest, message)
        given: dict[str, object] = {}
        for name, setting in asked.settings.items():
            choice = setting.WhichOneof("parameter_choice")
            given[name] = None if choice is None else getattr(setting, choice)
        change = read_log(given)
        then = partial(self._tell_log, exchange)
        if not given:
            then()
            return
        _hold(exchange, self._observing.change_log(change, _told(exchange, then)))

    def _tell_log(self, exchange: Exchange) -> None:
        told = pb.LogSettingsResponse()
        for name, value in tell_log(self._observing).items():
            match value:
                case bool():
                    told.settings[name].bool_param = value
                case int():
                    told.settings[name].uint32_param = value
                case str():
                    told.settings[name].string_param = value
        answer_message(exchange, told.SerializeToString())


def _told(exchange: Exchange, then: Callable[[], None]) -> Changed:
    def told(error: GatewayError | None) -> None:
        if error is None:
            then()
        else:
            answer_error(exchange, error)

    return told


def _hold(exchange: Exchange, ticket: Ticket | None) -> None:
    if ticket is not None:
        exchange.on_gone = ticket.cancel
