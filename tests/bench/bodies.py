"""Requests as bytes, made here and not by the code under test: V2 JSON, V2 binary, V2 gRPC messages."""

from __future__ import annotations

import struct

import msgspec
import numpy as np

GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"


class TensorName(msgspec.Struct, frozen=True):
    """A tensor as a model's metadata tells it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Signature(msgspec.Struct, frozen=True):
    """What GET /v2/models/<model> answers, as much of it as a request needs."""

    name: str
    inputs: tuple[TensorName, ...]
    outputs: tuple[TensorName, ...]


def fraud_rows(rows: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[rows, 30] FP32, the same numbers every time, four digits each as a client would send them."""
    return np.random.default_rng(30).standard_normal((rows, 30)).round(4).astype(np.float32)


def json_infer(signature: Signature, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    """A V2 REST body with the values as a flat JSON list (floats written as shortest FP32)."""
    values = [float(str(value)) for value in array.ravel()]
    tensor = {
        "name": signature.inputs[0].name,
        "shape": list(array.shape),
        "datatype": signature.inputs[0].datatype,
        "data": values,
    }
    return msgspec.json.encode({"inputs": [tensor]})


def binary_infer(
    signature: Signature, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> tuple[bytes, int]:
    """A V2 REST body with binary tensors in both directions, and the length of its JSON header."""
    tensor = {
        "name": signature.inputs[0].name,
        "shape": list(array.shape),
        "datatype": signature.inputs[0].datatype,
        "parameters": {"binary_data_size": array.nbytes},
    }
    output = {"name": signature.outputs[0].name, "parameters": {"binary_data": True}}
    header = msgspec.json.encode({"inputs": [tensor], "outputs": [output]})
    return header + array.tobytes(), len(header)


def grpc_infer(signature: Signature, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    """A ModelInfer call as one gRPC message: a flag, a length, a ModelInferRequest with raw contents."""
    tensor = (
        _text(1, signature.inputs[0].name)
        + _text(2, signature.inputs[0].datatype)
        + _field(3, b"".join(_varint(extent) for extent in array.shape))
    )
    message = _text(1, signature.name) + _field(5, tensor) + _field(7, array.tobytes())
    return frame_message(message)


def frame_message(message: bytes) -> bytes:
    """gRPC's length prefix, uncompressed."""
    return struct.pack(">BI", 0, len(message)) + message


def raw_outputs(message: bytes) -> list[bytes]:
    """`raw_output_contents` of a ModelInferResponse (field 6), in order."""
    return [value for number, value in _fields(message) if number == 6]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message, the others skipped."""
    found, at = [], 0
    while at < len(message):
        key, at = _read_varint(message, at)
        match key & 7:
            case 0:
                _, at = _read_varint(message, at)
            case 1:
                at += 8
            case 2:
                size, at = _read_varint(message, at)
                found.append((key >> 3, message[at : at + size]))
                at += size
            case 5:
                at += 4
            case other:
                raise ValueError(f"wire type {other}")
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
