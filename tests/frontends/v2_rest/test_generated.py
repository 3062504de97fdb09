from __future__ import annotations

import json

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import ModelFailed
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.tensor import Tensor
from gateway.frontends.v2_rest.generated import answer_events, answer_one
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService, FakeLease, FakeStream

HEAD = Head(b"POST", b"/v2/models/m/generate_stream", (), http_version="1.1")
REQUEST = InferRequest("m", 0, ())


def response(value: int, lease: FakeLease | None = None) -> InferResponse:
    return InferResponse("m", 1, (Tensor("Y", DType.INT8, (1,), bytes([value])),), lease=lease)


def begun(answer=answer_events) -> tuple[FakeExchange, FakeStream]:
    service, exchange = FakeInferenceService(), FakeExchange(HEAD)
    service.streams = True
    ticket = answer(service, REQUEST, exchange)
    assert ticket is service.tickets[0]
    return exchange, ticket


def events(exchange: FakeExchange) -> list[object]:
    assert exchange.body.endswith(b"\n\n") or not exchange.body
    return [json.loads(one.removeprefix(b"data: ")) for one in exchange.body.split(b"\n\n")[:-1]]


def test_an_event_for_each_answer_as_it_comes():
    exchange, stream = begun()
    lease = FakeLease()
    stream.sink.on_response(response(1, lease), is_last=False)
    assert (exchange.status, exchange.is_open, lease.holds) == (200, True, 0)
    assert exchange.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    stream.sink.on_response(response(2), is_last=False)
    stream.sink.on_end(None)
    assert ([one["Y"] for one in events(exchange)], exchange.is_open) == ([1, 2], False)


def test_the_last_answer_ends_it():
    exchange, stream = begun()
    stream.sink.on_response(response(1), is_last=True)
    assert ([one["Y"] for one in events(exchange)], exchange.is_open) == ([1], False)


def test_no_answer_at_all():
    exchange, stream = begun()
    stream.sink.on_end(None)
    assert (exchange.status, exchange.body, exchange.is_open) == (200, b"", False)


@pytest.mark.parametrize("answers", [0, 1])
def test_an_error_before_the_first_answer_has_a_status_and_after_it_is_an_event(answers):
    exchange, stream = begun()
    for _ in range(answers):
        stream.sink.on_response(response(1), is_last=False)
    stream.sink.on_end(ModelFailed("oh"))
    assert exchange.status == (200 if answers else 500)
    told = events(exchange)[-1] if answers else json.loads(exchange.body)
    assert told == {"error": "oh", "code": "MODEL_FAILED"}
    assert not exchange.is_open


@pytest.mark.parametrize("answers", [0, 1])
def test_an_error_in_place_of_an_answer_is_an_event_and_no_end(answers):
    exchange, stream = begun()
    for _ in range(answers):
        stream.sink.on_response(response(1), is_last=False)
    stream.sink.on_fault(ModelFailed("oh"))
    stream.sink.on_response(response(2), is_last=False)
    stream.sink.on_end(None)
    assert exchange.status == (200 if answers else 500)
    assert exchange.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    told = events(exchange)[answers:]
    assert told == [{"error": "oh", "code": "MODEL_FAILED"}, {**told[1], "Y": 2}]
    assert not exchange.is_open


def test_what_json_cannot_say_is_an_error_in_its_place():
    exchange, stream = begun()
    broken = InferResponse("m", 1, (Tensor("Y", DType.BYTES, (1,), b"\1\0\0\0\xff"),), lease=FakeLease())
    stream.sink.on_response(broken, is_last=True)
    assert (len(events(exchange)), exchange.is_open) == (1, False)
    assert broken.lease.holds == 0


def test_a_slow_reader_is_waited_for():
    exchange, stream = begun()
    exchange.writable = False
    assert not stream.sink.is_writable
    exchange.on_writable()
    assert stream.resumed == 1


def test_generate_takes_the_only_answer():
    for tell in (
        lambda sink: sink.on_response(response(1), is_last=True),
        lambda sink: (sink.on_response(response(1), is_last=False), sink.on_end(None)),
    ):
        exchange, stream = begun(answer_one)
        assert stream.sink.is_writable
        tell(stream.sink)
        assert (exchange.status, json.loads(exchange.body)["Y"]) == (200, 1)


def test_generate_refuses_none_and_more_than_one():
    exchange, stream = begun(answer_one)
    stream.sink.on_end(None)
    assert (exchange.status, stream.is_cancelled) == (400, False)
    exchange, stream = begun(answer_one)
    lease = FakeLease()
    stream.sink.on_response(response(1), is_last=False)
    stream.sink.on_response(response(2, lease), is_last=False)
    assert (exchange.status, stream.is_cancelled, lease.holds) == (400, True, 0)
    assert b"generate expects model to produce exactly 1 response" in exchange.body


def test_generate_takes_an_error_for_the_answer():
    exchange, stream = begun(answer_one)
    stream.sink.on_fault(ModelFailed("oh"))
    assert (exchange.status, json.loads(exchange.body)["error"]) == (500, "oh")
    assert stream.is_cancelled


def test_generate_tells_errors():
    exchange, stream = begun(answer_one)
    stream.sink.on_response(response(1), is_last=False)
    stream.sink.on_end(ModelFailed("oh"))
    assert exchange.status == 500
