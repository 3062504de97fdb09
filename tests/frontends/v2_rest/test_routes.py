from __future__ import annotations

import json

import pytest

from gateway.frontends.v2_rest import routes
from gateway.frontends.v2_rest.endpoints import Infer, Tools
from gateway.frontends.v2_rest.routes import Rest
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService

BODY = b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]}'


def ask(method, target, headers=(), body=b"", service=None):
    service = service or FakeInferenceService()
    rest = Rest(Tools(service, RestSettings(), lambda: 0.0), "model-gateway", "0.1")
    head = Head(method, target, tuple(headers), http_version="1.1")
    exchange = FakeExchange(head)
    rest.route(head).handle(exchange, body, None)
    return exchange


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        (b"/v2/health/live", 200, b'{"live":true}'),
        (b"/v2/health/ready", 200, b'{"ready":true}'),
        (b"/v2/models/fraud/ready", 200, b'{"name":"fraud","ready":true}'),
        (b"/v2/models/fraud/versions/3/ready", 200, b'{"name":"fraud","ready":true}'),
        (b"/v2/models/fr%61ud/ready", 200, b'{"name":"fraud","ready":true}'),
        (b"/v2/models/fraud/ready?x=y", 200, b'{"name":"fraud","ready":true}'),
        (b"/v2/models/fraud/docs", 200, None),
        (b"/v2/models/fraud/docs/dataplane.json", 200, None),
        (b"/v2/models/fraud/versions/3/docs", 200, None),
        (b"/v2/models/none/docs", 404, None),
        (b"/v2/models/none/ready", 404, None),
        (b"/v2/models/fraud/versions/2/ready", 404, None),
        (b"/v2/models/none", 404, None),
        (b"/v2/nothing", 404, b'{"error":"Not Found"}'),
        (b"/v2/", 404, b'{"error":"Not Found"}'),
        (b"/v2/health/live/", 404, b'{"error":"Not Found"}'),
        (b"/v2/models", 404, b'{"error":"Not Found"}'),
        (b"/v2/models/fraud/versions", 404, b'{"error":"Not Found"}'),
        (b"/v2/models/fraud/versions/1/x", 404, b'{"error":"Not Found"}'),
        (b"/v2/models/fraud/versions/0/ready", 400, None),
        (b"/v2/models/fraud/versions/1x", 400, None),
        (b"/v2/models/fraud/versions/canary", 200, None),
        (b"/v2/models/fraud/config", 200, None),
        (b"/v2/models/fraud/versions/3/config", 200, None),
        (b"/v2/models/none/config", 404, None),
        (b"/v2/models/%ff/ready", 400, None),
        (b"/v2/models/..%2f..%2fetc/ready", 400, None),
        (b"/v2/models/%00/infer", 400, None),
        (b"/v2/models//infer", 400, None),
        (b"/v2/models/fraud/infer", 405, b'{"error":"Method Not Allowed"}'),
    ],
)
def test_get(target, status, body):
    exchange = ask(b"GET", target)
    assert exchange.status == status
    assert body is None or exchange.body == body
    if status >= 400:
        assert "error" in json.loads(exchange.body)


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        (b"/v2", b"GET"),
        (b"/v2/health/live", b"GET"),
        (b"/v2/models/fraud", b"GET"),
        (b"/v2/models/fraud/ready", b"GET"),
        (b"/v2/models/fraud/infer", b"POST"),
    ],
)
def test_wrong_method_names_the_right_one(target, allowed):
    exchange = ask(b"PUT", target)
    assert (exchange.status, exchange.headers[b"allow"]) == (405, allowed)


def test_extensions_that_are_off_have_their_paths():
    assert ask(b"GET", b"/v2/systemsharedmemory/status").body == b"[]"
    assert ask(b"POST", b"/v2/cudasharedmemory/unregister").status == 501
    exchange = ask(b"PUT", b"/v2/logging")
    assert (exchange.status, exchange.headers[b"allow"]) == (405, b"GET, POST")


def test_unready():
    service = FakeInferenceService()
    service.ready = service.live = False
    service.not_ready = {"fraud"}
    for target in (b"live", b"ready"):
        exchange = ask(b"GET", b"/v2/health/" + target, service=service)
        assert (exchange.status, exchange.body) == (503, b'{"%b":false}' % target)
    exchange = ask(b"GET", b"/v2/models/fraud/ready", service=service)
    assert (exchange.status, json.loads(exchange.body)["error"]) == (503, "Model version not ready")


def test_metadata():
    assert json.loads(ask(b"GET", b"/v2").body)["name"] == "model-gateway"
    told = json.loads(ask(b"GET", b"/v2/models/fraud/versions/3").body)
    assert (told["name"], told["versions"]) == ("fraud", ["1", "3"])


@pytest.mark.parametrize(
    ("target", "model", "version"),
    [
        (b"/v2/models/m/infer", "m", 0),
        (b"/v2/models/m/versions/12/infer", "m", 12),
        (b"/v2/models/a%2Db/infer", "a-b", 0),
    ],
)
def test_infer_knows_its_target(target, model, version):
    service = FakeInferenceService()
    assert ask(b"POST", target, body=BODY, service=service).status == 200
    assert (service.requests[0].model, service.requests[0].version) == (model, version)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        (b"inference-header-content-length", b"x", 400),
        (b"inference-header-content-length", b"-1", 400),
        (b"inference-header-content-length", b"999", 400),
        (b"inference-header-content-length", b"%d" % len(BODY), 200),
        (b"content-encoding", b"br", 501),
        (b"content-encoding", b"gzip", 400),
        (b"content-encoding", b"identity", 200),
        (b"accept-encoding", b"gzip", 200),
    ],
)
def test_headers_of_infer(header, value, status):
    service = FakeInferenceService()
    exchange = ask(b"POST", b"/v2/models/m/infer", [(header, value)], BODY, service)
    assert exchange.status == status
    assert len(service.refusals) == (status != 200)


def test_a_raw_request():
    service, headers = FakeInferenceService(), [(b"inference-header-content-length", b"0")]
    exchange = ask(b"POST", b"/v2/models/fraud/infer", headers, bytes(120), service)
    assert exchange.status == 200
    assert b"inference-header-content-length" in exchange.headers
    assert (service.requests[0].inputs[0].shape, service.requests[0].inputs[0].name) == ((1, 30), "features")
    assert ask(b"POST", b"/v2/models/fraud/infer", headers, bytes(119)).status == 400


def test_docs_name_their_paths():
    assert "/v2/models/fraud/infer" in json.loads(ask(b"GET", b"/v2/models/fraud/docs").body)["paths"]
    versioned = json.loads(ask(b"GET", b"/v2/models/fraud/versions/3/docs").body)
    assert "/v2/models/fraud/versions/3/infer" in versioned["paths"]


@pytest.mark.parametrize("model", [b"fraud", b"fraud/versions/3"])
def test_generate(model):
    body, service = b'{"features":[' + b",".join([b"1"] * 30) + b'],"a":1}', FakeInferenceService()
    exchange = ask(b"POST", b"/v2/models/%b/generate" % model, body=body, service=service)
    assert (exchange.status, json.loads(exchange.body)["features"]) == (200, [1.0] * 30)
    assert service.requests[0].parameters == {"a": 1}
    streamed = ask(b"POST", b"/v2/models/%b/generate_stream" % model, body=body, service=service)
    assert streamed.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert streamed.body == b"data: " + exchange.body + b"\n\n"
    assert ask(b"GET", b"/v2/models/%b/generate" % model).status == 405
    for path in (b"/v2/models/%b/generate", b"/v2/models/%b/generate_stream"):
        assert ask(b"POST", path % model, [(b"content-encoding", b"gzip")], body).status == 400
        assert ask(b"POST", path % model, (), b"[]").headers[b"content-type"] == b"application/json"


def test_an_unknown_coding_is_told_the_known_ones():
    exchange = ask(b"POST", b"/v2/models/m/infer", [(b"content-encoding", b"br")])
    assert exchange.headers[b"accept-encoding"] == b"gzip, deflate"
    assert json.loads(exchange.body)["error"] == "Unsupported compression type"


def test_what_an_answer_repeats_is_no_part_of_the_endpoint():
    rest = Rest(Tools(FakeInferenceService(), RestSettings(), lambda: 0.0), "gw", "1")
    for number in range(20):
        headers = ((b"x-request-id", b"%d" % number),)
        exchange = FakeExchange(Head(b"POST", b"/v2/models/m/infer", headers, http_version="1.1"))
        rest.route(exchange.head).handle(exchange, BODY, None)
        assert exchange.headers[b"x-request-id"] == b"%d" % number
        assert json.loads(exchange.body)["id"] == str(number)
    assert len(rest._endpoints) == 1
    assert ask(b"GET", b"/v2", [(b"x-request-id", b"a")]).headers[b"x-request-id"] == b"a"


def test_endpoints_are_shared_and_their_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(routes, "_CACHED_ENDPOINTS", 4)
    rest = Rest(Tools(FakeInferenceService(), RestSettings(), lambda: 0.0), "gw", "1")

    def route(target, headers=()):
        return rest.route(Head(b"POST", target, headers, http_version="1.1"))

    plain = route(b"/v2/models/m/infer")
    assert route(b"/v2/models/m/infer", ((b"traceparent", b"1"),)) is plain
    assert route(b"/v2/models/m/infer", ((b"accept-encoding", b"gzip"),)) is not plain
    for number in range(20):
        assert isinstance(route(b"/v2/models/m%d/infer" % number), Infer)
        assert len(rest._endpoints) <= 4
    long = ((b"accept-encoding", b"x" * 2000),)
    assert route(b"/v2/models/m/infer", long) is not route(b"/v2/models/m/infer", long)
