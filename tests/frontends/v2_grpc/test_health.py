from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2 as theirs

from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.frontends.v2_grpc.framing import FrameReader, frame
from gateway.frontends.v2_grpc.health import Health
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService

HEAD = Head(b"POST", b"/grpc.health.v1.Health/Watch", (), http_version="2")
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def question(name):
    return theirs.HealthCheckRequest(service=name).SerializeToString()


def statuses(exchange):
    return [
        theirs.HealthCheckResponse.FromString(message).status
        for message in FrameReader("", 1 << 20, 10).feed(exchange.body)
    ]


def check(service, name):
    exchange = FakeExchange(HEAD)
    Health(service).check(question(name), exchange)
    return statuses(exchange)


def watch(health, *pieces):
    exchange = FakeExchange(HEAD)
    receiver = health.begin_watch(exchange, "", 10)
    for piece in pieces:
        receiver.on_data(piece)
    receiver.on_end()
    return exchange


@pytest.mark.parametrize("name", ["", "inference.GRPCInferenceService", "model/fraud"])
def test_check(name):
    service = FakeInferenceService()
    assert check(service, name) == [SERVING]
    service.ready = False
    assert check(service, name) == [NOT_SERVING]


def test_a_model_that_cannot_serve():
    service = FakeInferenceService()
    service.not_ready = {"fraud"}
    assert check(service, "model/fraud") == [NOT_SERVING]


@pytest.mark.parametrize("name", ["fraud", "model/none", "model/", "model/../x", "x.Y"])
def test_check_of_the_unknown(name):
    with pytest.raises(ModelNotFound):
        check(FakeInferenceService(), name)


def test_malformed():
    with pytest.raises(InvalidInput):
        Health(FakeInferenceService()).check(b"\xff", FakeExchange(HEAD))


def test_list():
    exchange = FakeExchange(HEAD)
    Health(FakeInferenceService()).list(b"", exchange)
    told = theirs.HealthListResponse.FromString(exchange.body[5:])
    assert {name: entry.status for name, entry in told.statuses.items()} == {
        "": SERVING,
        "inference.GRPCInferenceService": SERVING,
    }


def test_watch_tells_at_once_and_then_each_change():
    service = FakeInferenceService()
    health = Health(service)
    exchange = watch(health, *[bytes([byte]) for byte in frame(question(""))])
    assert statuses(exchange) == [SERVING]
    health.refresh()
    service.ready = False
    health.refresh()
    health.refresh()
    service.ready = True
    health.refresh()
    assert statuses(exchange) == [SERVING, NOT_SERVING, SERVING]
    assert exchange.is_open


def test_watch_waits_for_what_is_unknown_yet():
    service = FakeInferenceService()
    health = Health(service)
    exchange = watch(health, frame(question("model/new")))
    service.models["new"] = service.models["fraud"]
    health.refresh()
    assert statuses(exchange) == [UNKNOWN, SERVING]


def test_who_does_not_read_is_told_later():
    service = FakeInferenceService()
    health = Health(service)
    exchange = watch(health, frame(question("")))
    exchange.writable = service.ready = False
    health.refresh()
    assert statuses(exchange) == [SERVING]
    exchange.writable = True
    health.refresh()
    assert statuses(exchange) == [SERVING, NOT_SERVING]


def test_a_client_that_has_gone_is_forgotten():
    health = Health(FakeInferenceService())
    exchange = watch(health, frame(question("")))
    exchange.on_gone()
    assert not health._watches


def test_a_drain_ends_watches():
    service = FakeInferenceService()
    health = Health(service)
    exchange = watch(health, frame(question("")))
    service.ready = False
    health.finish()
    assert statuses(exchange) == [SERVING, NOT_SERVING]
    assert exchange.trailers[b"grpc-status"] == b"14"
    assert not health._watches


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([], b"3"),
        ([frame(b"\xff")], b"3"),
        ([b"\0\0\0"], b"3"),
        ([b"\0\xff\xff\xff\xff"], b"8"),
        ([b"\1\0\0\0\1x"], b"3"),
    ],
)
def test_a_watch_that_asks_nothing_sensible(pieces, status):
    health = Health(FakeInferenceService())
    exchange = FakeExchange(HEAD)
    receiver = health.begin_watch(exchange, "", 10)
    for piece in pieces:
        receiver.on_data(piece)
    if exchange.is_open:
        receiver.on_end()
    assert (exchange.trailers[b"grpc-status"], exchange.body) == (status, b"")


def test_a_second_question_ends_the_watch():
    health = Health(FakeInferenceService())
    exchange = FakeExchange(HEAD)
    health.begin_watch(exchange, "", 10).on_data(frame(question("")) * 2)
    assert statuses(exchange) == [SERVING]
    assert exchange.trailers[b"grpc-status"] == b"3"
    assert not health._watches
