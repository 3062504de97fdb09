"""Requests without sockets: bodies as clients make them, and the one answer that comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from gateway.core.caller import ANYBODY
from gateway.core.dtypes import NUMPY, DType
from gateway.core.tensor import Buffer
from gateway.frontends.v2_grpc.errors import STATUS, Status
from gateway.frontends.v2_grpc.framing import PREFIX_BYTES, frame
from gateway.generated import open_inference_pb2 as pb
from gateway.runtimes.contract import Array
from gateway.wire.exchange import Endpoint, Exchange, Head, Headers, Peer

RPC = b"/inference.GRPCInferenceService/ModelInfer"
_NAMES = {np.dtype(kind): name for name, kind in ((dtype.name, NUMPY[dtype]) for dtype in NUMPY)}


class Answer(NamedTuple):
    """What the client got. `code` is "OK", or why not: a Reason over REST, a status's name over gRPC."""

    code: str
    text: str
    outputs: Mapping[str, Array]
    headers: Mapping[str, str]
    id: str = ""

    @property
    def is_ok(self) -> bool:
        """True for an answer of the model."""
        return self.code == "OK"


class Kept(Exchange):
    """An exchange that keeps its answer; `ended` is set when it is whole."""

    def __init__(self, head: Head, tls_subject: str | None) -> None:
        self.head = head
        self.peer = Peer(("127.0.0.1", 1), tls_subject)
        self.caller = ANYBODY
        self.on_gone: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.status = 0
        self.headers: Headers = ()
        self.trailers: Headers = ()
        self.body = bytearray()
        self.ended: Final = asyncio.Event()

    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        """See Exchange."""
        if self.is_open:
            self.start(status, headers)
            for part in body if isinstance(body, tuple) else (body,):
                self.write(part)
            self.finish(trailers)
        if on_written is not None:
            on_written()

    def start(self, status: int, headers: Headers) -> None:
        """See Exchange."""
        self.status, self.headers = status, headers

    def write(self, data: Buffer) -> None:
        """See Exchange."""
        self.body += data

    def finish(self, trailers: Headers = ()) -> None:
        """See Exchange."""
        self.trailers = trailers
        self.ended.set()

    def abort(self) -> None:
        """See Exchange."""
        self.ended.set()

    @property
    def is_writable(self) -> bool:
        """See Exchange."""
        return True

    @property
    def is_open(self) -> bool:
        """See Exchange."""
        return not self.ended.is_set()

    def pause_reading(self) -> None:
        """See Exchange."""

    def resume_reading(self) -> None:
        """See Exchange."""


class Asked(NamedTuple):
    """A request as a client may make it; `version` "" names none."""

    model: str
    version: str
    inputs: Mapping[str, Any]
    headers: Mapping[str, str]
    parameters: Mapping[str, bool | int | float | str]
    id: str
    tls_subject: str | None


async def ask_rest(route: Callable[[Head], Endpoint], asked: Asked) -> Answer:
    """Asks by POST …/infer with JSON."""
    version = f"/versions/{asked.version}" if asked.version else ""
    path = f"/v2/models/{asked.model}{version}/infer".encode()
    arrays = [(name, _array(value)) for name, value in asked.inputs.items()]
    body = {
        "id": asked.id,
        "parameters": dict(asked.parameters),
        "inputs": [
            {
                "name": name,
                "datatype": _NAMES[array.dtype],
                "shape": array.shape,
                "data": array.ravel().tolist(),
            }
            for name, array in arrays
        ],
    }
    kept = await _sent(route, asked, path, orjson.dumps(body), "1.1")
    told = orjson.loads(bytes(kept.body))
    headers = _texts(kept.headers)
    if kept.status != 200:
        return Answer(told.get("code", str(kept.status)), told["error"], {}, headers)
    outputs = {
        one["name"]: np.array(one["data"], NUMPY[DType[one["datatype"]]]).reshape(one["shape"])
        for one in told["outputs"]
    }
    return Answer("OK", "", outputs, headers, told.get("id", ""))


async def ask_grpc(route: Callable[[Head], Endpoint], asked: Asked) -> Answer:
    """Asks by ModelInfer with raw contents."""
    message = pb.ModelInferRequest(model_name=asked.model, model_version=asked.version, id=asked.id)
    for key, value in asked.parameters.items():
        setattr(message.parameters[key], _CHOICES[type(value)], value)
    for name, value in asked.inputs.items():
        array = _array(value)
        message.inputs.add(name=name, datatype=_NAMES[array.dtype], shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    kept = await _sent(route, asked, RPC, frame(message.SerializeToString()), "2")
    trailers = dict(kept.trailers)
    status = Status(int(trailers[b"grpc-status"]))
    headers = _texts(kept.headers + kept.trailers)
    if status is not Status.OK:
        return Answer(status.name, trailers.get(b"grpc-message", b"").decode(), {}, headers)
    answer = pb.ModelInferResponse.FromString(bytes(kept.body[PREFIX_BYTES:]))
    outputs = {
        told.name: np.frombuffer(raw, NUMPY[DType[told.datatype]]).reshape(tuple(told.shape))
        for told, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    return Answer("OK", "", outputs, headers, answer.id)


def grpc_code(reason: str) -> str:
    """The status's name that gRPC has for the reason that REST tells."""
    return next(status.name for one, status in STATUS.items() if one.value == reason)


_CHOICES = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}


async def _sent(
    route: Callable[[Head], Endpoint], asked: Asked, path: bytes, body: bytes, http_version: str
) -> Kept:
    own = ((b"content-type", b"application/grpc"),) if http_version == "2" else ()
    headers = tuple([(name.lower().encode(), value.encode()) for name, value in asked.headers.items()])
    head = Head(b"POST", path, own + headers, http_version=http_version)
    kept, endpoint = Kept(head, asked.tls_subject), route(head)
    endpoint.handle(kept, body, None)
    await kept.ended.wait()
    return kept


def _array(value: Any) -> Array:
    """Numbers without a type of their own are FP32."""
    return value if isinstance(value, np.ndarray) else np.array(value, np.float32)


def _texts(headers: Headers) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
