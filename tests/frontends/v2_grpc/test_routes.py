from __future__ import annotations

import pytest

from gateway.frontends.v2_grpc import routes
from gateway.frontends.v2_grpc.endpoints import Infer, Streaming, Tools
from gateway.frontends.v2_grpc.framing import frame
from gateway.frontends.v2_grpc.routes import Grpc, is_grpc
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService

SERVICE = b"/inference.GRPCInferenceService/"
EMPTY = frame(b"")
TYPE = (b"content-type", b"application/grpc")


def make(service=None, **settings):
    return Grpc(Tools(service or FakeInferenceService(), GrpcSettings(**settings), lambda: 10.0), "gw", "1")


def head(path, *headers, method=b"POST", version="2"):
    return Head(method, path, (TYPE, *headers), http_version=version)


def call(path, body=EMPTY, *headers, service=None, **settings):
    asked = head(path, *headers)
    exchange = FakeExchange(asked)
    make(service, **settings).route(asked).handle(exchange, body, None)
    return exchange


def infer_body():
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"\1"])
    message.inputs.add(name="x", datatype="INT8", shape=[1])
    return frame(message.SerializeToString())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SERVICE + b"ServerLive", b""),
        (SERVICE + b"ServerReady", b""),
        (SERVICE + b"ServerMetadata", b""),
        (SERVICE + b"ModelReady", b"\x0a\x05fraud"),
        (SERVICE + b"ModelMetadata", b"\x0a\x05fraud"),
        (SERVICE + b"ModelStatistics", b"\x0a\x05fraud"),
        (SERVICE + b"ModelInfer", infer_body()[5:]),
        (b"/grpc.health.v1.Health/Check", b""),
        (b"/grpc.health.v1.Health/List", b""),
    ],
)
def test_every_unary_call_is_served(path, body):
    assert path in make().paths
    exchange = call(path, frame(body))
    assert (exchange.status, exchange.trailers) == (200, {b"grpc-status": b"0"})


@pytest.mark.parametrize(
    "path",
    [
        b"/grpc.health.v1.Health/Watch",
        b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        SERVICE + b"ModelStreamInfer",
    ],
)
def test_streams(path):
    asked = head(path)
    endpoint = make().route(asked)
    assert isinstance(endpoint, Streaming)
    receiver = endpoint.open(FakeExchange(asked))
    receiver.on_data(b"")
    assert (endpoint.max_body_bytes > 1 << 40) == (path == SERVICE + b"ModelStreamInfer")


@pytest.mark.parametrize("path", [SERVICE + b"Nothing", b"/x.Y/Z", b"/", b"/%ff"])
def test_the_rest_is_unimplemented(path):
    assert call(path).trailers[b"grpc-status"] == b"12"


def test_names_in_metadata_calls_are_checked():
    assert call(SERVICE + b"ModelReady", frame(b"\x0a\x01/")).trailers[b"grpc-status"] == b"3"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (head(SERVICE + b"ModelInfer", method=b"GET"), 405),
        (head(SERVICE + b"ModelInfer", version="1.1"), 415),
        (Head(b"POST", SERVICE + b"ModelInfer", (), http_version="2"), 415),
        (
            Head(
                b"POST", SERVICE + b"ModelInfer", ((b"content-type", b"application/json"),), http_version="2"
            ),
            415,
        ),
    ],
)
def test_what_is_not_grpc_at_all(asked, status):
    exchange = FakeExchange(asked)
    make().route(asked).handle(exchange, b"", None)
    assert exchange.status == status


@pytest.mark.parametrize(
    ("content", "is_ours"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=utf-8", True),
        (b"application/grpc+json", False),
        (b"application/grpc-web", False),
        (b"application/json", False),
        (None, False),
    ],
)
def test_media_types(content, is_ours):
    assert is_grpc(content) is is_ours


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        (b"grpc-timeout", b"100m", b"0"),
        (b"grpc-timeout", b"x", b"3"),
        (b"grpc-encoding", b"identity", b"0"),
        (b"grpc-encoding", b"gzip", b"0"),
        (b"grpc-encoding", b"deflate", b"0"),
        (b"grpc-encoding", b"snappy", b"12"),
    ],
)
def test_headers_of_a_call(header, value, status):
    service = FakeInferenceService()
    exchange = call(SERVICE + b"ModelInfer", infer_body(), (header, value), service=service)
    assert exchange.trailers[b"grpc-status"] == status
    assert len(service.refusals) == (status != b"0")
    if value == b"snappy":
        assert exchange.headers[b"grpc-accept-encoding"] == b"identity,gzip,deflate"
    if value == b"100m":
        assert service.requests[0].deadline == pytest.approx(10.1)


@pytest.mark.parametrize("accept", [b"gzip", b"identity, deflate, gzip", b"identity"])
def test_answers_are_compressed_only_if_both_sides_want_it(accept):
    header = (b"grpc-accept-encoding", accept)
    wanted = call(SERVICE + b"ModelInfer", infer_body(), header, compress_responses=True)
    assert (b"grpc-encoding" in wanted.headers) == (b"gzip" in accept)
    assert b"grpc-encoding" not in call(SERVICE + b"ModelInfer", infer_body(), header).headers


def test_endpoints_are_shared_and_their_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(routes, "_CACHED_ENDPOINTS", 4)
    grpc = make()
    plain = grpc.route(head(SERVICE + b"ModelInfer"))
    assert grpc.route(head(SERVICE + b"ModelInfer", (b"traceparent", b"1"))) is plain
    for number in range(20):
        assert isinstance(
            grpc.route(head(SERVICE + b"ModelInfer", (b"grpc-timeout", b"%dm" % number))), Infer
        )
        assert len(grpc._endpoints) <= 4
    long = (b"grpc-accept-encoding", b"x" * 1000)
    assert grpc.route(head(SERVICE + b"ModelInfer", long)) is not grpc.route(
        head(SERVICE + b"ModelInfer", long)
    )
