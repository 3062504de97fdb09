"""An extension that is there to say that it is off: shared memory of callers."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from gateway.frontends.shared_memory import disabled
from gateway.frontends.v2_grpc.endpoints import Call, answer_message
from gateway.frontends.v2_grpc.metadata import read
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Exchange


class FixedExtensions:
    """The calls of it by their names."""

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
        }


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
