"""Requests as bytes: V2 over REST (JSON and binary) and over gRPC, by hand from the wire formats.

protobuf by hand, because a tensor of 16 MiB is then joined once and the message's layout is five
fields that the protocol fixes for ever:
ModelInferRequest: model_name 1, model_version 2, inputs 5 {name 1, datatype 2, shape 3 packed},
raw_input_contents 7. ModelMetadataRequest: name 1, version 2. ModelMetadataResponse: inputs 4 with
the same three fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from gateway import __version__
from gateway.cli.bench.grpc import GrpcRequest
from gateway.cli.bench.hpack import make_blocks
from gateway.cli.bench.inputs import InputSpec, json_values
from gateway.cli.bench.plan import BenchError, Plan, Target
from gateway.cli.bench.rest import RestRequest
from gateway.core.tensor import Buffer, Tensor

_SERVICE = "/inference.GRPCInferenceService/"
_AGENT = f"gateway-bench/{__version__}"
_MAX_BLOCK = 12_288  # with what `--unique-metadata` adds it must stay below a frame of 16,384
_VARINT, _BYTES = 0, 2


def infer_path(plan: Plan) -> str:
    return f"{model_path(plan)}/infer"


def model_path(plan: Plan) -> str:
    return f"/v2/models/{plan.model}" + (f"/versions/{plan.version}" if plan.version else "")


def rest_request(
    plan: Plan, target: Target, method: str, path: str, body: bytes, *fields: str
) -> RestRequest:
    """A whole HTTP/1.1 request but for the empty line after its head."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {target}", f"user-agent: {_AGENT}", *fields]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in _extra_headers(plan)]
    return RestRequest("".join(f"{line}\r\n" for line in lines).encode("utf-8"), body)


def rest_infer(plan: Plan, target: Target, tensors: Sequence[Tensor]) -> RestRequest:
    """An inference with its tensors in JSON, or after it as plain bytes."""
    if plan.protocol == "rest":
        body = msgspec.json.encode({"inputs": [_json_input(tensor) for tensor in tensors]})
        return rest_request(plan, target, "POST", infer_path(plan), body, "content-type: application/json")
    described = {
        "inputs": [_described(tensor) for tensor in tensors],
        "parameters": {"binary_data_output": True},
    }
    head = msgspec.json.encode(described)
    body = b"".join([head, *(tensor.data for tensor in tensors)])
    return rest_request(
        plan,
        target,
        "POST",
        infer_path(plan),
        body,
        "content-type: application/octet-stream",
        f"inference-header-content-length: {len(head)}",
    )


def _json_input(tensor: Tensor) -> dict[str, Any]:
    try:
        values = json_values(tensor)
        msgspec.json.encode(values)
    except UnicodeError as error:
        raise BenchError(f"input '{tensor.name}' is not UTF-8 and cannot be sent as JSON") from error
    return {"name": tensor.name, "datatype": tensor.dtype.name, "shape": tensor.shape, "data": values}


def _described(tensor: Tensor) -> dict[str, Any]:
    parameters = {"binary_data_size": len(tensor.data)}
    return {
        "name": tensor.name,
        "datatype": tensor.dtype.name,
        "shape": tensor.shape,
        "parameters": parameters,
    }


def grpc_infer(plan: Plan, target: Target, tensors: Sequence[Tensor]) -> GrpcRequest:
    """A ModelInfer call with raw contents."""
    parts: list[Buffer] = [_field(1, plan.model.encode())]
    if plan.version:
        parts.append(_field(2, plan.version.encode()))
    parts += [_field(5, _input(tensor)) for tensor in tensors]
    for tensor in tensors:
        parts += (_key(7, _BYTES), _varint(len(tensor.data)), tensor.data)
    return grpc_request(plan, target, "ModelInfer", b"".join(parts))


def grpc_metadata(plan: Plan, target: Target) -> GrpcRequest:
    """A ModelMetadata call."""
    message = _field(1, plan.model.encode()) + (_field(2, plan.version.encode()) if plan.version else b"")
    return grpc_request(plan, target, "ModelMetadata", message)


def grpc_request(plan: Plan, target: Target, method: str, message: bytes) -> GrpcRequest:
    """A unary call of the inference service."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", f"{_SERVICE}{method}".encode()),
        (b":authority", str(target).encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", _AGENT.encode()),
    ]
    if plan.deadline_s is not None and not plan.unique_metadata:
        fields.append((b"grpc-timeout", grpc_timeout(plan.deadline_s)))
    fields += [(name.encode(), value.encode()) for name, value in _extra_headers(plan)]
    blocks = make_blocks(fields)
    if len(blocks.literal) > _MAX_BLOCK:
        raise BenchError(
            f"--header: {len(blocks.literal)} bytes of headers, at most {_MAX_BLOCK} can be sent"
        )
    return GrpcRequest(blocks, b"\x00" + len(message).to_bytes(4, "big") + message)


def grpc_timeout(seconds: float) -> bytes:
    """`seconds` in the finest unit that takes at most eight digits."""
    for unit, per_second in ((b"u", 1e6), (b"m", 1e3)):
        if seconds * per_second < 1e8:
            return b"%d%b" % (round(seconds * per_second), unit)
    return b"%dS" % round(seconds)


def _extra_headers(plan: Plan) -> list[tuple[str, str]]:
    headers = [(name.lower(), value) for name, value in plan.headers]
    if plan.tokens and not plan.unique_metadata:
        headers.append(("authorization", f"Bearer {plan.tokens[0]}"))
    return headers


def metadata_inputs(message: bytes) -> tuple[InputSpec, ...]:
    """The inputs of a ModelMetadataResponse; raises ValueError for anything that is none."""
    return tuple(_input_spec(value) for number, value in _fields(message) if number == 4)


def _input_spec(message: Buffer | int) -> InputSpec:
    if isinstance(message, int):
        raise ValueError("an input that is a number")
    name = datatype = ""
    shape: list[int] = []
    for number, value in _fields(message):
        if number == 3:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif not isinstance(value, int) and number == 1:
            name = bytes(value).decode()
        elif not isinstance(value, int) and number == 2:
            datatype = bytes(value).decode()
    return InputSpec(name, datatype, tuple(dim - (1 << 64) if dim >> 63 else dim for dim in shape))


def _input(tensor: Tensor) -> bytes:
    shape = b"".join(_varint(dim) for dim in tensor.shape)
    return _field(1, tensor.name.encode()) + _field(2, tensor.dtype.name.encode()) + _field(3, shape)


def _field(number: int, value: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(value)) + value


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: Buffer, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a message that ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _packed(data: Buffer) -> list[int]:
    at, values = 0, []
    while at < len(data):
        value, at = _read_varint(data, at)
        values.append(value)
    return values


def _fields(data: Buffer) -> Iterator[tuple[int, Any]]:
    """Yields number and value of each field: an integer, or the bytes of a length-delimited one."""
    view, at = memoryview(data), 0
    while at < len(view):
        key, at = _read_varint(view, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(view, at)
            yield key >> 3, value
            continue
        size, at = _read_varint(view, at) if kind == _BYTES else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(view):
            raise ValueError("a message that ends within a field")
        yield key >> 3, view[at : at + size]
        at += size
