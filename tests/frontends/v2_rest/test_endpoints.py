from __future__ import annotations

import gzip
import json
import struct

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import InstanceDied, Reason, TooLarge
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.endpoints import Infer, InferFormat, Simple, Tools
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService, FakeLease

HEAD = Head(b"POST", b"/v2/models/m/infer", (), http_version="1.1")
BODY = b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}'
OUTPUT = b'{"name":"x","datatype":"FP32","shape":[2],'
BINARY = (
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}],'
    b'"parameters":{"binary_data_output":true}}'
)


def make(service, how=None, **settings):
    tools = Tools(service, RestSettings(**settings), lambda: 0.0)
    return Infer(tools, Target("m", 0), how or InferFormat())


def run(service, body=BODY, how=None, lease=None, **settings):
    exchange = FakeExchange(HEAD)
    make(service, how, **settings).handle(exchange, body, lease)
    return exchange


def test_json_in_json_out():
    exchange = run(FakeInferenceService())
    assert (exchange.status, exchange.headers) == (200, {b"content-type": b"application/json"})
    assert exchange.body == (
        b'{"model_name":"m","model_version":"1","outputs":[' + OUTPUT + b'"data":[1.0,2.0]}]}'
    )


def test_binary_in_binary_out_without_joining():
    exchange = run(FakeInferenceService(), BINARY + bytes(8), InferFormat(len(BINARY)))
    head, data = exchange.parts
    assert exchange.headers == {
        b"content-type": b"application/octet-stream",
        b"inference-header-content-length": b"%d" % len(head),
    }
    assert data == bytes(8)


def test_an_answer_may_come_later_and_a_client_may_go_before():
    service = FakeInferenceService(holds=True)
    exchange = run(service)
    assert exchange.is_open
    exchange.on_gone()
    assert service.tickets[0].is_cancelled
    other = run(service)
    service.finish(service.tickets[1])
    assert other.status == 200


@pytest.mark.parametrize("body", [BODY, b"{}"])
def test_the_requests_lease_is_released_once_whatever_happens(body):
    lease = FakeLease()
    run(FakeInferenceService(), body, lease=lease)
    assert lease.holds == 0


@pytest.mark.parametrize("packed", [gzip.compress(BODY), b"junk"])
def test_a_compressed_body_is_not_needed_once_expanded(packed):
    lease = FakeLease()
    service = FakeInferenceService(holds=True)
    run(service, packed, InferFormat(coding="gzip"), lease)
    assert lease.holds == 0


def answering(output, lease=None):
    return FakeInferenceService(lambda request: InferResponse("m", 1, (output,), lease=lease))


def test_the_answers_lease_is_released_when_written():
    lease = FakeLease()
    exchange = FakeExchange(HEAD, write_now=False)
    service = answering(Tensor("x", DType.FP16, (1,), b"ab"), lease)
    make(service, InferFormat(len(BINARY))).handle(exchange, BINARY + bytes(8), None)
    assert lease.holds == 1
    exchange.on_written()
    assert lease.holds == 0


def test_an_answer_that_json_cannot_say_is_an_error_and_loses_no_lease():
    lease = FakeLease()
    exchange = run(answering(Tensor("x", DType.BYTES, (1,), serialise_bytes_elements([b"\xff"])), lease))
    assert (exchange.status, lease.holds) == (400, 0)
    assert "binary data format" in json.loads(exchange.body)["error"]


def test_an_error_of_the_pipeline():
    exchange = run(FakeInferenceService(lambda request: InstanceDied("gone", retry_after_s=2.5)))
    assert (exchange.status, exchange.headers[b"retry-after"]) == (503, b"3")


def test_what_is_not_understood_leaves_a_record():
    service = FakeInferenceService()
    exchange = run(service, b"{")
    assert exchange.status == 400
    ((protocol, error),) = service.refusals
    assert (protocol, error.reason) == ("rest", Reason.INVALID_INPUT)
    assert service.requests == []


def test_what_wire_refuses_is_told_in_this_protocols_form():
    service = FakeInferenceService()
    exchange = FakeExchange(HEAD)
    make(service).refuse(exchange, TooLarge("too much"))
    assert (exchange.status, json.loads(exchange.body)["code"]) == (413, "TOO_LARGE")
    assert len(service.refusals) == 1


@pytest.mark.parametrize("where", ["decode", "encode"])
def test_a_bug_costs_one_request_only(where, caplog):
    """A body, or an output, that is no buffer stands for a defect of ours."""
    lease, answer_lease = FakeLease(), FakeLease()
    output = Tensor("x", DType.INT8, (1,), None)
    exchange = run(answering(output, answer_lease), None if where == "decode" else BODY, lease=lease)
    assert (exchange.status, json.loads(exchange.body)["error"]) == (500, "internal error")
    assert lease.holds == 0
    assert answer_lease.holds == (1 if where == "decode" else 0)  # an answer never given is not ours
    assert "TypeError" in caplog.text


def test_bombs():
    bomb = gzip.compress(BODY + b" " * (40 << 20))
    assert run(FakeInferenceService(), bomb, InferFormat(coding="gzip")).status == 413
    assert run(FakeInferenceService(), gzip.compress(BODY), InferFormat(coding="gzip")).status == 200


@pytest.mark.parametrize(("elements", "is_compressed"), [(2, False), (400, True), (5000, False)])
def test_answers_of_a_middling_size_are_compressed(elements, is_compressed):
    output = Tensor("x", DType.INT8, (elements,), bytes(elements))
    exchange = run(
        answering(output),
        how=InferFormat(answer_coding="gzip"),
        compress_max_bytes=5000,
        compress_min_bytes=500,
    )
    assert (exchange.headers.get(b"content-encoding") == b"gzip") == is_compressed
    text = gzip.decompress(exchange.body) if is_compressed else exchange.body
    assert json.loads(text)["outputs"][0]["data"] == [0] * elements


def test_a_compressed_binary_answer_keeps_its_header():
    output = Tensor("x", DType.FP32, (500,), struct.pack("<500f", *range(500)))
    how = InferFormat(len(BINARY), answer_coding="gzip")
    exchange = run(answering(output), BINARY + bytes(8), how)
    whole = gzip.decompress(exchange.body)
    assert whole[int(exchange.headers[b"inference-header-content-length"]) :] == output.data


def test_where_bulk_data_begin():
    service = FakeInferenceService()
    assert make(service).payload_offset(HEAD) == 0
    assert make(service, InferFormat(77)).payload_offset(HEAD) == 77
    assert make(service, InferFormat(77, "gzip")).payload_offset(HEAD) == 0
    assert make(service).body_size(HEAD, b"12345") is None


def test_simple_endpoints_ignore_the_body():
    lease = FakeLease()
    exchange = FakeExchange(HEAD)
    Simple(lambda where: where.respond(204, ()), lambda where, error: None).handle(exchange, b"x", lease)
    assert (exchange.status, lease.holds) == (204, 0)
