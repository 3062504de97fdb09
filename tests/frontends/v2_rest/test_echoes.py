from __future__ import annotations

import json

import pytest

from gateway.core.errors import TooLarge
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.echoes import EchoingExchange, echoing
from gateway.frontends.v2_rest.endpoints import Infer, InferFormat, Simple, Tools
from gateway.frontends.v2_rest.errors import answer_error
from gateway.frontends.v2_rest.generate import decode_generate
from gateway.frontends.v2_rest.generated import answer_one
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.frontends.v2_rest.signed import Signed
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService
from tests.fakes.services import StreamEndpoint

BODY = b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]}'
NAMED = BODY[:-1] + b',"id":"body"}'


def infer():
    return Infer(Tools(FakeInferenceService(), RestSettings(), lambda: 0.0), Target("m", 0), InferFormat())


def head(**headers):
    found = tuple((name.replace("_", "-").encode(), value) for name, value in headers.items())
    return Head(b"POST", b"/v2/models/m/infer", found, http_version="1.1")


def run(body=BODY, **headers):
    exchange = FakeExchange(head(**headers))
    echoing(exchange.head, infer()).handle(exchange, body, None)
    return exchange


@pytest.mark.parametrize(("body", "identity"), [(BODY, "abc"), (NAMED, "body")])
def test_the_bodys_id_outranks_the_headers(body, identity):
    exchange = run(body, x_request_id=b"abc")
    assert json.loads(exchange.body)["id"] == identity
    assert exchange.headers == {b"content-type": b"application/json", b"x-request-id": b"abc"}


def test_a_body_that_needs_the_signature_is_named_too():
    asked = head(x_request_id=b"abc", ce_id=b"7", ce_specversion=b"1.0")
    tools = Tools(FakeInferenceService(), RestSettings(), lambda: 0.0)
    exchange = FakeExchange(asked)
    endpoint = Signed(tools, Target("fraud", 0), "", decode_generate, answer_one)
    echoing(asked, endpoint).handle(exchange, b"{}", None)
    assert json.loads(exchange.body)["id"] == "abc"
    assert exchange.headers[b"ce-source"] == b"io.kserve.inference.fraud"


def test_an_event_is_answered_as_one():
    exchange = run(ce_id=b"7", ce_specversion=b"1.0", ce_source=b"s", ce_type=b"t")
    assert {name: value for name, value in exchange.headers.items() if name.startswith(b"ce-")} == {
        b"ce-id": b"7",
        b"ce-specversion": b"1.0",
        b"ce-source": b"io.kserve.inference.m",
        b"ce-type": b"io.kserve.inference.response",
    }
    assert "id" not in json.loads(exchange.body)


@pytest.mark.parametrize("value", [b"", b"x" * 257, b"\xff", b"a\tb"])
def test_what_is_not_plain_is_passed_over(value):
    endpoint = infer()
    assert echoing(head(x_request_id=value), endpoint) is endpoint
    assert echoing(head(ce_id=value, ce_specversion=b"1.0"), endpoint) is endpoint
    assert echoing(head(ce_id=b"7"), endpoint) is endpoint


def test_other_endpoints_and_refusals_repeat_the_id_only():
    simple = Simple(lambda exchange: exchange.respond(200, ()), answer_error)
    asked = head(x_request_id=b"a", ce_id=b"7", ce_specversion=b"1.0")
    endpoint = echoing(asked, simple)
    exchange = FakeExchange(asked)
    endpoint.handle(exchange, b"", None)
    assert exchange.headers == {b"x-request-id": b"a"}
    exchange = FakeExchange(asked)
    endpoint.refuse(exchange, TooLarge("x"))
    assert (exchange.status, exchange.headers[b"x-request-id"]) == (413, b"a")


def test_wire_sees_the_endpoint_through_it():
    inner, asked = infer(), head(x_request_id=b"a")
    endpoint = echoing(asked, inner)
    assert (endpoint.whole, endpoint.max_body_bytes) == (True, inner.max_body_bytes)
    assert (endpoint.body_size(asked, b""), endpoint.payload_offset(asked)) == (None, 0)
    stream = StreamEndpoint()
    opened = echoing(asked, stream)
    exchange = FakeExchange(asked)
    opened.open(exchange)
    assert (opened.whole, len(stream.receivers)) == (False, 1)


def test_a_streamed_answer_passes_through():
    inner = FakeExchange(head())
    exchange = EchoingExchange(inner, ((b"a", b"b"),))
    told = []
    inner.on_gone()  # nobody listens yet
    inner.on_writable()
    exchange.on_gone = lambda: told.append("gone")
    exchange.on_writable = lambda: told.append("writable")
    inner.on_writable()
    inner.on_gone()
    assert told == ["writable", "gone"]
    exchange.start(200, ())
    exchange.write(b"x")
    exchange.pause_reading()
    assert inner.is_reading is False
    exchange.resume_reading()
    assert (inner.is_reading, exchange.is_writable, exchange.is_open) == (True, True, True)
    exchange.finish()
    assert (inner.headers, inner.body, exchange.is_open) == ({b"a": b"b"}, b"x", False)
    exchange.abort()


def test_a_waiting_request_is_cancelled_through_it():
    service = FakeInferenceService(holds=True)
    endpoint = Infer(Tools(service, RestSettings(), lambda: 0.0), Target("m", 0), InferFormat())
    exchange = FakeExchange(head(x_request_id=b"a"))
    echoing(exchange.head, endpoint).handle(exchange, BODY, None)
    exchange.on_gone()
    assert service.tickets[0].is_cancelled
