from __future__ import annotations

import socket

import msgspec
import pytest

from gateway.cli.bench.inputs import InputSpec
from gateway.cli.bench.plan import BenchError, Plan, parse_url
from gateway.cli.bench.preparing import learn, prepare
from gateway.core.clock import monotonic_s
from tests.cli.bench.servers import (
    ANSWER_PB,
    METADATA,
    GrpcModel,
    Request,
    RestServer,
    grpc_server,
    http,
    model_server,
)

PLAN = Plan(model="fraud", timeout_s=2.0)


def _plan(url: str, **changes: object) -> Plan:
    return msgspec.structs.replace(PLAN, url=url, **changes)


def test_the_inputs_come_from_the_servers_metadata() -> None:
    with RestServer(model_server) as server:
        plan = _plan(server.url, version="1")
        assert learn(plan, parse_url(plan.url), monotonic_s) == (InputSpec("x", "FP32", (-1, 30)),)
        assert server.requests[0].path == "/v2/models/fraud/versions/1"
        assert "content-length" not in server.requests[0].headers


@pytest.mark.parametrize("protocol", ["rest", "rest-binary"])
def test_a_request_is_tried_once(protocol: str) -> None:
    with RestServer(model_server) as server:
        prepared = prepare(_plan(server.url, protocol=protocol), monotonic_s)
        assert [request.method for request in server.requests] == ["GET", "POST"]
        assert server.requests[1].body == prepared.call.body
    assert prepared.tensor_bytes == 120


def test_the_same_over_grpc() -> None:
    model = GrpcModel(lambda message, context: ANSWER_PB)
    with grpc_server(model) as url:
        prepared = prepare(_plan(url, protocol="grpc"), monotonic_s)
    assert model.messages == [prepared.call.body[5:]]


def _refusing(request: Request) -> bytes:
    if request.method == "GET":
        return http(METADATA)
    return http(b'{"error":"no such shape"}', "400 Bad Request")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: http(b'{"error":"unknown model"}', "404 Not Found"), "http 404: unknown model"),
        (lambda request: http(b"{oh", "500 Oh"), "http 500: {oh"),
        (lambda request: http(b"<html>"), "not answer as a V2 server"),
        (lambda request: http(b'{"inputs":[]}'), "tells of no inputs"),
        (lambda request: b"SSH-2.0-x\r\n\r\n", "does not speak this protocol"),
        (_refusing, "http 400: no such shape"),
    ],
)
def test_what_is_wrong_is_told_as_the_server_says_it(answer: object, said: str) -> None:
    with RestServer(answer) as server, pytest.raises(BenchError, match=said):  # type: ignore[arg-type]
        prepare(_plan(server.url), monotonic_s)


def test_grpc_errors_are_told_as_the_server_says_them() -> None:
    model = GrpcModel(lambda message, context: ANSWER_PB)
    with (
        grpc_server(model) as url,
        pytest.raises(BenchError, match="grpc 5 NOT_FOUND: no model 'x' — unknown"),
    ):
        prepare(_plan(url, protocol="grpc", model="x"), monotonic_s)


def test_a_server_that_is_only_busy_may_be_measured() -> None:
    def busy(request: Request) -> bytes:
        return model_server(request) if request.method == "GET" else http(b"", "503 Busy")

    with RestServer(busy) as server:
        assert prepare(_plan(server.url), monotonic_s).tensor_bytes == 120


def test_a_server_of_the_other_protocol_is_recognised() -> None:
    with RestServer(model_server) as server, pytest.raises(BenchError):
        prepare(_plan(server.url, protocol="grpc"), monotonic_s)


def test_an_unreachable_or_silent_server_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with pytest.raises(BenchError, match=r"did not answer within 0\.05 s"):
            prepare(_plan(f"{host}:{port}", timeout_s=0.05), monotonic_s)
    with pytest.raises(BenchError, match=r"cannot reach .*: Connection refused"):
        prepare(_plan(f"{host}:{port}"), monotonic_s)
