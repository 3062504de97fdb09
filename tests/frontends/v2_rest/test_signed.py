from __future__ import annotations

import gzip

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput, ModelFailed, Reason, TooLarge
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.tensor import Tensor
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.endpoints import Tools
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.frontends.v2_rest.signed import Signed, answering
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService, FakeLease

HEAD = Head(b"POST", b"/v2/models/fraud/infer", (), http_version="1.1")


def read(spec, target, body, lease, clock):
    if body == b"bad":
        raise InvalidInput("bad")
    if body == b"bug":
        raise ZeroDivisionError("a bug")
    tensor = Tensor(spec.inputs[0].name, DType.INT8, (len(body),), bytes(body))
    return InferRequest(target.model, target.version, (tensor,), lease=lease)


def write(response):
    if response.id == "bug":
        raise ZeroDivisionError("a bug")
    return response.outputs[0].data, ((b"x", b"y"),)


def run(service, body=b"abc", coding="", lease=None, model="fraud", exchange=None):
    exchange = exchange or FakeExchange(HEAD)
    tools = Tools(service, RestSettings(), lambda: 0.0)
    Signed(tools, Target(model, 0), coding, read, answering(write)).handle(exchange, body, lease)
    return exchange


@pytest.mark.parametrize(("body", "coding"), [(b"abc", ""), (gzip.compress(b"abc"), "gzip")])
def test_a_request(body, coding):
    lease = FakeLease()
    exchange = run(FakeInferenceService(), body, coding, lease)
    assert (exchange.status, exchange.body, exchange.headers) == (200, b"abc", {b"x": b"y"})
    assert lease.holds == 0


@pytest.mark.parametrize(
    ("body", "model", "status"), [(b"bad", "fraud", 400), (b"bug", "fraud", 500), (b"abc", "none", 404)]
)
def test_what_is_refused_leaves_a_record(body, model, status):
    service, lease = FakeInferenceService(), FakeLease()
    assert run(service, body, lease=lease, model=model).status == status
    assert (lease.holds, len(service.refusals)) == (0, 1)


def test_junk_in_a_coding():
    assert run(FakeInferenceService(), b"junk", "gzip").status == 400


def test_failures_of_the_model_and_of_the_encoder():
    service = FakeInferenceService(lambda request: ModelFailed("x"))
    assert run(service).status == 500
    lease = FakeLease()
    service = FakeInferenceService(lambda request: InferResponse("m", 1, (), "bug", lease=lease))
    assert (run(service).status, lease.holds) == (500, 0)


def test_the_answers_lease_is_released_when_written():
    lease, exchange = FakeLease(), FakeExchange(HEAD, write_now=False)
    output = Tensor("x", DType.INT8, (1,), b"a")
    run(
        FakeInferenceService(lambda request: InferResponse("m", 1, (output,), lease=lease)), exchange=exchange
    )
    assert lease.holds == 1
    exchange.on_written()
    assert lease.holds == 0


def test_a_client_may_go_while_it_waits():
    service, lease, exchange = FakeInferenceService(), FakeLease(), FakeExchange(HEAD)
    exchange.abort()
    run(service, lease=lease, exchange=exchange)
    assert (service.requests, lease.holds) == ([], 0)
    service = FakeInferenceService(holds=True)
    run(service).on_gone()
    assert service.tickets[0].is_cancelled


def test_what_wire_must_know():
    service, exchange = FakeInferenceService(), FakeExchange(HEAD)
    endpoint = Signed(Tools(service, RestSettings(), lambda: 0.0), Target("m", 0), "", read, answering(write))
    assert (endpoint.whole, endpoint.body_size(HEAD, b""), endpoint.payload_offset(HEAD)) == (True, None, 0)
    endpoint.refuse(exchange, TooLarge("x"))
    assert (exchange.status, service.refusals[0][1].reason) == (413, Reason.TOO_LARGE)
