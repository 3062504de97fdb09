"""V2 over gRPC as a client speaks it: messages to bytes, bytes to arrays. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from gateway.core.tensor_spec import TensorSpec
from gateway.generated import open_inference_pb2 as pb
from gateway.runtimes.contract import Array
from gateway.runtimes.remote.description import (
    MAX_BATCH,
    Described,
    RemoteTensor,
    check_tensors,
    remote_tensor,
)
from gateway.runtimes.remote.tensors import (
    MAX_OUTPUTS,
    Sent,
    check_dtype,
    from_bytes,
    in_order,
    shape_of,
    to_bytes,
    unsound,
)


def encode(sent: Sent, model: str, version: str) -> bytes:
    """A ModelInferRequest with raw contents."""
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    for spec, array in sent.inputs:
        request.inputs.add(name=spec.name, datatype=spec.dtype.name, shape=array.shape)
        request.raw_input_contents.append(to_bytes(array, spec.dtype))
    for spec in sent.outputs:
        request.outputs.add(name=spec.name)
    return request.SerializeToString()


def decode(data: bytes, wanted: Sequence[TensorSpec]) -> list[Array]:
    """The wanted outputs of a ModelInferResponse; raises Fault."""
    response = _parsed(pb.ModelInferResponse(), data)
    outputs, raws = response.outputs, response.raw_output_contents
    if len(outputs) > MAX_OUTPUTS or len(raws) != len(outputs):
        raise unsound(f"it has {len(outputs)} outputs and {len(raws)} raw_output_contents")
    by_name = {spec.name: spec for spec in wanted}
    found: dict[str, Array] = {}
    for output, raw in zip(outputs, raws, strict=True):
        if output.name in found:
            raise unsound("it has two outputs of one name")
        if output.name in by_name:
            spec = by_name[output.name]
            check_dtype(spec, output.datatype)
            found[output.name] = from_bytes(spec, shape_of(output.name, list(output.shape)), raw)
    return in_order(found, wanted)


def is_ready(data: bytes, *, of_model: bool) -> bool:
    """What a ServerReadyResponse or ModelReadyResponse says; raises Fault."""
    message = pb.ModelReadyResponse() if of_model else pb.ServerReadyResponse()
    return bool(_parsed(message, data).ready)


def described(metadata: bytes, config: bytes | None) -> Described:
    """From the model's metadata and, where the upstream has that extension, its configuration.

    Raises LoadError, Fault.
    """
    told = _parsed(pb.ModelMetadataResponse(), metadata)
    size, is_decoupled = None, False
    if config is not None:
        read = _parsed(pb.ModelConfigResponse(), config).config
        size, is_decoupled = read.max_batch_size, read.model_transaction_policy.decoupled
        if not 0 <= size <= MAX_BATCH:
            raise unsound("its max_batch_size is no size")
    return Described(_tensors("input", told.inputs), _tensors("output", told.outputs), size, is_decoupled)


def model_ask(kind: str, model: str, version: str) -> bytes:
    """A ModelMetadata, ModelConfig or ModelReady request."""
    message: Any = getattr(pb, f"{kind}Request")
    return bytes(message(name=model, version=version).SerializeToString())


def _tensors(kind: str, told: Iterable[Any]) -> tuple[RemoteTensor, ...]:
    return check_tensors(kind, [remote_tensor(kind, one.name, one.datatype, list(one.shape)) for one in told])


def _parsed(message: Any, data: bytes) -> Any:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise unsound("it is no message of the protocol") from None
    return message
