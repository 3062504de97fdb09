"""The ways into a gateway: each asks a Case and tells what came of it, in the same terms."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import grpc
import numpy as np

from gateway.generated import open_inference_pb2 as pb
from tests.conformance.cases import Case

TIMEOUT_S = 30.0
_LENGTH = "Inference-Header-Content-Length"
_NUMBERS = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


class Told(NamedTuple):
    """One tensor of an answer."""

    datatype: str
    shape: tuple[int, ...]
    raw: bytes


class Outcome(NamedTuple):
    """What came: `status` in the protocol's own words ("200", "OK", "404", "NOT_FOUND"), REST's `code`."""

    status: str
    code: str = ""
    text: str = ""
    model: str = ""
    version: str = ""
    id: str = ""
    outputs: Mapping[str, Told] = MappingProxyType({})


class Door(Protocol):
    """A protocol in one of its forms, on one gateway."""

    def ask(self, case: Case) -> Outcome:
        """Sends what `case` says, with its id, and returns what came."""


class RestJson:
    """Tensors as JSON numbers and strings, both ways."""

    def __init__(self, name: str, base: str) -> None:
        self.name = name
        self._base = base

    def ask(self, case: Case) -> Outcome:
        body = case.garbage.get(self.name)
        if body is None:
            body = json.dumps(self._document(case)).encode()
        status, _, answer = post(self._base, case, body, {})
        return _outcome(status, json.loads(answer), {})

    def _document(self, case: Case) -> dict[str, Any]:
        tensors = [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": one.shape,
                "data": one.elements,
                "parameters": {"content_type": one.content_type} if one.content_type else {},
            }
            for one in case.inputs
        ]
        return _document(case, tensors, [{"name": name} for name in case.outputs])


class RestBinary:
    """Tensors behind the JSON, both ways."""

    def __init__(self, name: str, base: str) -> None:
        self.name = name
        self._base = base

    def ask(self, case: Case) -> Outcome:
        body = case.garbage.get(self.name)
        length = 1
        if body is None:
            head = json.dumps(self._document(case)).encode()
            length = len(head)
            body = head + b"".join(one.raw for one in case.inputs)
        status, headers, answer = post(self._base, case, body, {_LENGTH: str(length)})
        size = int(headers.get(_LENGTH, len(answer)))
        document = json.loads(answer[:size])
        raw, at = {}, size
        for told in document.get("outputs", ()):
            end = at + told["parameters"]["binary_data_size"]
            raw[told["name"]] = answer[at:end]
            at = end
        assert at == len(answer)
        return _outcome(status, document, raw)

    def _document(self, case: Case) -> dict[str, Any]:
        tensors = [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": one.shape,
                "parameters": {"binary_data_size": len(one.raw)}
                | ({"content_type": one.content_type} if one.content_type else {}),
            }
            for one in case.inputs
        ]
        wanted = [{"name": name, "parameters": {"binary_data": True}} for name in case.outputs]
        document = _document(case, tensors, wanted)
        document.setdefault("parameters", {})["binary_data_output"] = True  # for where none is named
        return document


class Grpc:
    """ModelInfer with raw contents."""

    def __init__(self, name: str, channel: grpc.Channel) -> None:
        self.name = name
        self._infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    def ask(self, case: Case) -> Outcome:
        message = case.garbage.get(self.name)
        if message is None:
            message = grpc_message(case).SerializeToString()
        try:
            answer = pb.ModelInferResponse.FromString(self._infer(message, timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            return Outcome(error.code().name, text=error.details())
        outputs = {
            told.name: Told(told.datatype, tuple(told.shape), raw)
            for told, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        return Outcome("OK", "", "", answer.model_name, answer.model_version, answer.id, outputs)


def grpc_message(case: Case) -> pb.ModelInferRequest:
    """What `case` asks, with raw contents."""
    message = pb.ModelInferRequest(
        model_name=case.model,
        model_version=case.version,
        id=case.id,
        raw_input_contents=[one.raw for one in case.inputs],
    )
    for one in case.inputs:
        given = message.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        if one.content_type:
            given.parameters["content_type"].string_param = one.content_type
    for name in case.outputs:
        message.outputs.add(name=name)
    if case.timeout_us:
        message.parameters["timeout"].int64_param = case.timeout_us
    if case.content_type:
        message.parameters["content_type"].string_param = case.content_type
    for name, value in case.parameters.items():
        kind = {bool: "bool", int: "int64", str: "string"}[type(value)]
        setattr(message.parameters[name], f"{kind}_param", value)
    return message


def post(base: str, case: Case, body: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    """One inference over HTTP: status, headers and body of the answer."""
    version = f"/versions/{quote(case.version)}" if case.version else ""
    url = f"{base}/v2/models/{quote(case.model, safe='')}{version}/infer"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=TIMEOUT_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def _document(case: Case, inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    document: dict[str, Any] = {"id": case.id, "inputs": inputs}
    if outputs:
        document["outputs"] = outputs
    parameters = {
        **({"timeout": case.timeout_us} if case.timeout_us else {}),
        **({"content_type": case.content_type} if case.content_type else {}),
        **case.parameters,
    }
    if parameters:
        document["parameters"] = parameters
    return document


def _outcome(status: int, document: Any, raw: dict[str, bytes]) -> Outcome:
    if status != 200:
        return Outcome(str(status), document.get("code", ""), document["error"])
    outputs = {}
    for told in document["outputs"]:
        name, datatype = told["name"], told["datatype"]
        content = raw[name] if name in raw else _raw(datatype, told["data"])
        outputs[name] = Told(datatype, tuple(told["shape"]), content)
    return Outcome("200", "", "", document["model_name"], document["model_version"], document["id"], outputs)


def _raw(datatype: str, data: list[Any]) -> bytes:
    """The bytes of a tensor that came as JSON."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in data)
    if datatype == "BF16":
        return (np.array(data, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.array(data, _NUMBERS[datatype]).tobytes()
