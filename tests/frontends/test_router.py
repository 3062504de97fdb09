from __future__ import annotations

import pytest

from gateway.frontends.router import Router
from gateway.frontends.v2_grpc import endpoints as grpc_endpoints
from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.frontends.v2_rest import endpoints as rest_endpoints
from gateway.frontends.v2_rest.routes import Rest
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService

GRPC = ((b"content-type", b"application/grpc"),)


def make(fallback=None):
    service = FakeInferenceService()
    rest = Rest(rest_endpoints.Tools(service, RestSettings(), lambda: 0.0), "gw", "1")
    grpc = Grpc(grpc_endpoints.Tools(service, GrpcSettings(), lambda: 0.0), "gw", "1")
    return Router(rest, grpc, fallback)


def answer(router, head):
    exchange = FakeExchange(head)
    router.route(head).handle(exchange, b"", None)
    return exchange


@pytest.mark.parametrize(
    ("method", "target", "headers", "version", "kind"),
    [
        (b"POST", b"/v2/models/m/infer", (), "1.1", rest_endpoints.Infer),
        (b"POST", b"/v2/models/m/infer?x=1", (), "2", rest_endpoints.Infer),
        (b"GET", b"/v2", (), "1.1", rest_endpoints.Simple),
        (b"POST", b"/inference.GRPCInferenceService/ModelInfer", GRPC, "2", grpc_endpoints.Infer),
        (b"POST", b"/grpc.health.v1.Health/Check", GRPC, "2", grpc_endpoints.Unary),
        (b"POST", b"/grpc.health.v1.Health/Watch", GRPC, "2", grpc_endpoints.Streaming),
    ],
)
def test_path_decides(method, target, headers, version, kind):
    assert type(make().route(Head(method, target, headers, http_version=version))) is kind


def test_an_unknown_call_is_answered_as_grpc_and_an_unknown_page_as_json():
    call = answer(make(), Head(b"POST", b"/x.Y/Z", GRPC, http_version="2"))
    assert (call.status, call.trailers[b"grpc-status"]) == (200, b"12")
    page = answer(make(), Head(b"GET", b"/v2beta", (), http_version="1.1"))
    assert (page.status, page.body) == (404, b'{"error":"Not Found"}')


def test_the_fallback_gets_the_rest():
    marker = rest_endpoints.Simple(lambda exchange: None, lambda exchange, error: None)
    assert make(marker).route(Head(b"GET", b"/docs", (), http_version="1.1")) is marker


def test_a_repeated_head_finds_the_same_endpoint():
    router = make()
    for target, headers in (
        (b"/v2/models/m/infer", ()),
        (b"/inference.GRPCInferenceService/ModelInfer", GRPC),
    ):
        heads = [Head(b"POST", target, headers, http_version="2") for _ in range(2)]
        assert router.route(heads[0]) is router.route(heads[1])
