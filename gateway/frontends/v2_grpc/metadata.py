"""The V2 calls about server and models; everything but ModelInfer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.core.errors import GatewayError, InvalidInput, ModelNotFound
from gateway.core.model import check_name, parse_version
from gateway.frontends.extensions import in_order
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_grpc.endpoints import answer_message
from gateway.frontends.v2_grpc.errors import answer_error
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.service import InferenceService, ModelDescription
from gateway.repository.normalised import completed
from gateway.wire.exchange import Exchange

# Exactly those that always work over gRPC; the binary tensor extension is REST's.
EXTENSIONS = (
    "classification",
    "schedule_policy",
    "model_configuration",
    "parameters",
    "statistics",
)

_M = TypeVar("_M", bound=Message)


class Metadata:
    """ServerLive, ServerReady, ServerMetadata, ModelReady, ModelMetadata and ModelConfig."""

    def __init__(
        self,
        service: InferenceService,
        server_name: str,
        server_version: str,
        extensions: tuple[str, ...] = (),
    ) -> None:
        self._service = service
        self._about = pb.ServerMetadataResponse(
            name=server_name, version=server_version, extensions=in_order(EXTENSIONS + extensions)
        ).SerializeToString()

    def server_live(self, message: bytes, exchange: Exchange) -> None:
        read(pb.ServerLiveRequest, message)
        live = pb.ServerLiveResponse(live=self._service.is_live())
        answer_message(exchange, live.SerializeToString())

    def server_ready(self, message: bytes, exchange: Exchange) -> None:
        read(pb.ServerReadyRequest, message)
        ready = pb.ServerReadyResponse(ready=self._service.is_ready())
        answer_message(exchange, ready.SerializeToString())

    def server_metadata(self, message: bytes, exchange: Exchange) -> None:
        read(pb.ServerMetadataRequest, message)
        answer_message(exchange, self._about)

    def model_ready(self, message: bytes, exchange: Exchange) -> None:
        """An unknown model is "not ready" here, as Triton's clients expect; over REST it is 404."""
        asked = read(pb.ModelReadyRequest, message)
        name, version = check_name(asked.name), parse_version(asked.version)
        try:
            ready = self._service.is_model_ready(name, version, exchange.caller)
        except ModelNotFound:
            ready = False
        answer_message(exchange, pb.ModelReadyResponse(ready=ready).SerializeToString())

    def model_metadata(self, message: bytes, exchange: Exchange) -> None:
        asked = read(pb.ModelMetadataRequest, message)
        name, version = check_name(asked.name), parse_version(asked.version)
        self._service.describe(name, version, partial(_described, exchange, describe), exchange.caller)

    def model_config(self, message: bytes, exchange: Exchange) -> None:
        asked = read(pb.ModelConfigRequest, message)
        name, version = check_name(asked.name), parse_version(asked.version)
        self._service.describe(name, version, partial(_described, exchange, describe_config), exchange.caller)


def read(kind: type[_M], message: bytes) -> _M:
    """`message` as a `kind`; raises InvalidInput."""
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InvalidInput(f"the message is not a {kind.__name__}") from None


def _described(
    exchange: Exchange, tell: Callable[[ModelDescription], bytes], result: ModelDescription | GatewayError
) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
        return
    try:
        message = tell(result)
    except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer
        answer_error(exchange, as_gateway_error(error))
        return
    answer_message(exchange, message)


def describe(description: ModelDescription) -> bytes:
    """A ModelMetadataResponse; shapes with the batch axis in front, as -1."""
    spec = description.spec
    batch = (-1,) if spec.max_batch_size else ()
    message = pb.ModelMetadataResponse(
        name=spec.name,
        versions=[str(version) for version in description.versions],
        platform=spec.platform,
    )
    for tensors, told in ((spec.inputs, message.inputs), (spec.outputs, message.outputs)):
        for tensor in tensors:
            told.add(name=tensor.name, datatype=tensor.dtype.name, shape=batch + tensor.shape)
    return message.SerializeToString()


def describe_config(description: ModelDescription) -> bytes:
    """A ModelConfigResponse with the complete configuration."""
    config = completed(description.config, description.spec)
    return pb.ModelConfigResponse(config=config).SerializeToString()
