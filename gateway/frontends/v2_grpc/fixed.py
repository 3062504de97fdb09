"""Extensions that are there to say that they are off: shared memory of callers, trace and log settings."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from gateway.core.errors import InvalidInput
from gateway.core.model import check_name
from gateway.frontends.fixed_settings import TRACE, log_settings, refuse_log_changes, refuse_trace_changes
from gateway.frontends.shared_memory import disabled
from gateway.frontends.v2_grpc.endpoints import Call, answer_message
from gateway.frontends.v2_grpc.metadata import read
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange


class FixedExtensions:
    """The calls of these extensions by their names."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service

    def calls(self) -> Mapping[str, Call]:
        """Every method of the inference service that is answered here."""
        return {
            "SystemSharedMemoryStatus": _empty(
                pb.SystemSharedMemoryStatusRequest, pb.SystemSharedMemoryStatusResponse()
            ),
            "CudaSharedMemoryStatus": _empty(
                pb.CudaSharedMemoryStatusRequest, pb.CudaSharedMemoryStatusResponse()
            ),
            "SystemSharedMemoryRegister": _refused(pb.SystemSharedMemoryRegisterRequest),
            "CudaSharedMemoryRegister": _refused(pb.CudaSharedMemoryRegisterRequest),
            "SystemSharedMemoryUnregister": _refused(pb.SystemSharedMemoryUnregisterRequest),
            "CudaSharedMemoryUnregister": _refused(pb.CudaSharedMemoryUnregisterRequest),
            "TraceSetting": self._trace,
            "LogSettings": _log,
        }

    def _trace(self, message: bytes, exchange: Exchange) -> None:
        """A setting without values asks for its default, which it has."""
        asked = read(pb.TraceSettingRequest, message)
        if asked.model_name:
            self._service.is_model_ready(check_name(asked.model_name), 0)
        refuse_trace_changes(name for name, setting in asked.settings.items() if setting.value)
        told = pb.TraceSettingResponse()
        for name, values in TRACE.items():
            told.settings[name].value.extend(values)
        answer_message(exchange, told.SerializeToString())


def _log(message: bytes, exchange: Exchange) -> None:
    asked = read(pb.LogSettingsRequest, message)
    if any(setting.WhichOneof("parameter_choice") is None for setting in asked.settings.values()):
        raise InvalidInput("a log setting has no value")
    refuse_log_changes(asked.settings)
    told = pb.LogSettingsResponse()
    for name, value in log_settings().items():
        match value:
            case bool():
                told.settings[name].bool_param = value
            case int():
                told.settings[name].uint32_param = value
            case str():
                told.settings[name].string_param = value
    answer_message(exchange, told.SerializeToString())


def _empty(kind: type[Message], answer: Message) -> Call:
    def tell(message: bytes, exchange: Exchange) -> None:
        read(kind, message)
        answer_message(exchange, answer.SerializeToString())

    return tell


def _refused(kind: type[Message]) -> Call:
    def refuse(message: bytes, exchange: Exchange) -> None:
        read(kind, message)
        raise disabled()

    return refuse
