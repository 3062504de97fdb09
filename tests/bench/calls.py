"""The calls of the benchmark, checked: before a server is measured, its answers must be right."""

from __future__ import annotations

import http.client

import grpc
import msgspec
import numpy as np
import onnxruntime as ort

from tests.bench.bodies import (
    GRPC_PATH,
    binary_infer,
    fraud_rows,
    grpc_infer,
    json_infer,
    raw_outputs,
)
from tests.bench.load import JSON_HEADERS, GrpcCall, RestCall
from tests.bench.models import FRAUD_ONNX
from tests.bench.servers import Server

BIG_BYTES = 16 << 20
_PREFIX = 5  # a gRPC message's flag and length


class WrongAnswer(Exception):
    """A server whose answers are not the model's is not measured; the text says which call."""


class _Output(msgspec.Struct):
    data: list[float]


class _Answer(msgspec.Struct):
    outputs: list[_Output]


def post(port: int, call: RestCall, timeout_s: float = 60.0) -> tuple[int, dict[str, str], bytes]:
    """One POST on loopback: status, headers in lower case, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", call.path, call.body, dict(call.headers))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


def fraud_score() -> float:
    """What the model answers to `fraud_rows()`, by ONNX Runtime itself."""
    session = ort.InferenceSession(FRAUD_ONNX, providers=["CPUExecutionProvider"])
    (score,) = session.run(None, {session.get_inputs()[0].name: fraud_rows()})
    return float(score[0, 0])


def fraud_json(server: Server) -> RestCall:
    """A JSON call of one row, whose answer was found right; raises WrongAnswer."""
    return row_json(server, "fraud", fraud_score())


def fraud_grpc(server: Server) -> GrpcCall:
    """A gRPC call of one row, whose answer was found right; raises WrongAnswer."""
    return row_grpc(server, "fraud", fraud_score())


def row_json(server: Server, model: str, expected: float) -> RestCall:
    """`fraud_rows()` to a model whose answer begins with `expected`; raises WrongAnswer."""
    body = json_infer(server.signature(model), fraud_rows())
    call = RestCall(f"/v2/models/{model}/infer", body, {**JSON_HEADERS, **server.headers})
    status, _, answer = post(server.http_port, call)
    if status != 200:
        raise WrongAnswer(f"{server.name}: {model} by REST: {status} {answer[:300]!r}")
    found = msgspec.json.decode(answer, type=_Answer).outputs[0].data[0]
    _check(server, f"{model} by REST", found, expected)
    return call


def row_grpc(server: Server, model: str, expected: float) -> GrpcCall:
    """The same over gRPC; raises WrongAnswer."""
    message = grpc_infer(server.signature(model), fraud_rows())
    answer = _unary(server, message)
    found = float(np.frombuffer(raw_outputs(answer)[0], np.float32)[0])
    _check(server, f"{model} by gRPC", found, expected)
    return GrpcCall(message, len(answer) + _PREFIX, headers=server.headers)


def identity_rest(server: Server) -> RestCall:
    """16 MiB of FP32 in binary both ways, which came back unchanged; raises WrongAnswer."""
    array = _big(server)
    body, header = binary_infer(server.signature("identity"), array)
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(header)}
    call = RestCall("/v2/models/identity/infer", body, headers)
    status, answered, answer = post(server.http_port, call)
    skipped = int(answered.get("inference-header-content-length", "0"))
    if status != 200 or answer[skipped:] != array.tobytes():
        raise WrongAnswer(f"{server.name}: identity by REST: {status} {answer[:300]!r}")
    return call


def identity_grpc(server: Server) -> GrpcCall:
    """The same over gRPC; raises WrongAnswer."""
    array = _big(server)
    message = grpc_infer(server.signature("identity"), array)
    answer = _unary(server, message)
    if raw_outputs(answer) != [array.tobytes()]:
        raise WrongAnswer(f"{server.name}: identity by gRPC: {answer[:300]!r}")
    return GrpcCall(message, len(answer) + _PREFIX)


def _big(server: Server) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """16 MiB in the model's rank: all in the last dimension."""
    rank = len(server.signature("identity").inputs[0].shape)
    return np.arange(BIG_BYTES // 4, dtype=np.float32).reshape((1,) * (rank - 1) + (-1,))


def _check(server: Server, what: str, found: float, expected: float) -> None:
    if not abs(found - expected) < 1e-5:
        raise WrongAnswer(f"{server.name}: {what}: {found}, the model says {expected}")


def _unary(server: Server, framed: bytes) -> bytes:
    """One call by grpcio, which adds the length prefix itself."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
        call = channel.unary_unary(GRPC_PATH)
        try:
            return bytes(call(framed[_PREFIX:], timeout=60, metadata=list(server.headers.items())))
        except grpc.RpcError as error:
            raise WrongAnswer(f"{server.name}: gRPC: {error.code()}: {error.details()}") from error
