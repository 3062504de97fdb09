from __future__ import annotations

import gzip

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import Overloaded, Reason, TooLarge
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.frontends.v2_grpc import endpoints
from gateway.frontends.v2_grpc.endpoints import CallFormat, Fixed, Infer, Streaming, Tools, Unary
from gateway.frontends.v2_grpc.framing import PREFIX, frame
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService, FakeLease

HEAD = Head(b"POST", b"/inference.GRPCInferenceService/ModelInfer", (), http_version="2")


def message(**fields):
    request = pb.ModelInferRequest(
        **({"model_name": "m", "id": "7", "raw_input_contents": [b"\1\2"]} | fields)
    )
    request.inputs.add(name="x", datatype="INT8", shape=[2])
    return request.SerializeToString()


def compressed(data):
    packed = gzip.compress(data)
    return PREFIX.pack(1, len(packed)) + packed


BODY = frame(message())


def make(service, how=None, **settings):
    return Infer(Tools(service, GrpcSettings(**settings), lambda: 50.0), how or CallFormat())


def run(service, body=BODY, how=None, lease=None, **settings):
    exchange = FakeExchange(HEAD)
    make(service, how, **settings).handle(exchange, body, lease)
    return exchange


def reply(exchange):
    return pb.ModelInferResponse.FromString(exchange.body[5:])


def test_a_call():
    exchange = run(FakeInferenceService())
    assert (exchange.status, exchange.headers) == (200, {b"content-type": b"application/grpc"})
    assert exchange.trailers == {b"grpc-status": b"0"}
    assert (reply(exchange).id, reply(exchange).raw_output_contents) == ("7", [b"\1\2"])


def test_the_timeout_counts_from_now():
    service = FakeInferenceService()
    run(service, how=CallFormat(timeout_s=0.25))
    run(service)
    assert [request.deadline for request in service.requests] == [50.25, float("inf")]


def test_an_answer_may_come_later_and_a_client_may_go_before():
    service = FakeInferenceService(holds=True)
    exchange = run(service)
    exchange.on_gone()
    assert service.tickets[0].is_cancelled
    other = run(service)
    service.finish(service.tickets[1])
    assert other.trailers[b"grpc-status"] == b"0"


def test_gzip_in():
    service = FakeInferenceService(holds=True)
    lease = FakeLease()
    run(service, compressed(message()), CallFormat(coding="gzip"), lease)
    assert service.requests[0].inputs[0].data == b"\1\2"
    assert (lease.holds, service.requests[0].lease) == (0, None)


def test_gzip_out():
    exchange = run(FakeInferenceService(), how=CallFormat(answer_coding="gzip"))
    assert exchange.headers[b"grpc-encoding"] == b"gzip"
    flag, size = PREFIX.unpack_from(exchange.body)
    assert (flag, size) == (1, len(exchange.body) - 5)
    assert pb.ModelInferResponse.FromString(gzip.decompress(exchange.body[5:])).id == "7"
    big = Tensor("x", DType.INT8, (1 << 18,), bytes(1 << 18))
    service = FakeInferenceService(lambda request: InferResponse("m", 1, (big,)))
    assert len(run(service, how=CallFormat(answer_coding="gzip")).body) < 5000


@pytest.mark.parametrize("body", [BODY, b"", b"\0\0\0\0\1\xff", frame(message(raw_input_contents=[]))])
def test_the_requests_lease_is_released_once_whatever_happens(body):
    lease = FakeLease()
    run(FakeInferenceService(), body, lease=lease)
    assert lease.holds == 0


def test_the_answers_lease_is_released_when_written():
    lease = FakeLease()
    output = Tensor("x", DType.INT8, (1,), b"a")
    service = FakeInferenceService(lambda request: InferResponse("m", 1, (output,), lease=lease))
    exchange = FakeExchange(HEAD, write_now=False)
    make(service).handle(exchange, BODY, None)
    assert lease.holds == 1
    exchange.on_written()
    assert lease.holds == 0


def test_what_is_not_understood_leaves_a_record():
    service = FakeInferenceService()
    exchange = run(service, frame(b"\xff"))
    assert exchange.trailers[b"grpc-status"] == b"3"
    ((protocol, error),) = service.refusals
    assert (protocol, error.reason) == ("grpc", Reason.INVALID_INPUT)


def test_errors_of_the_pipeline_and_of_wire():
    exchange = run(FakeInferenceService(lambda request: Overloaded("full", retry_after_s=1)))
    assert exchange.trailers == {
        b"grpc-status": b"14",
        b"grpc-message": b"full",
        b"grpc-retry-pushback-ms": b"1000",
    }
    service = FakeInferenceService()
    exchange = FakeExchange(HEAD)
    make(service).refuse(exchange, TooLarge("big"))
    assert (exchange.trailers[b"grpc-status"], len(service.refusals)) == (b"8", 1)


def broken(*arguments):
    raise ZeroDivisionError("a bug at /some/path")


@pytest.mark.parametrize("where", ["decode", "encode"])
def test_a_bug_costs_one_call_only(where, caplog):
    """A body, or an output, that is no buffer stands for a defect of ours."""
    lease, answer_lease = FakeLease(), FakeLease()
    output = Tensor("x", DType.INT8, (1,), None)
    service = FakeInferenceService(lambda request: InferResponse("m", 1, (output,), lease=answer_lease))
    exchange = run(service, None if where == "decode" else BODY, lease=lease)
    assert exchange.trailers == {b"grpc-status": b"13", b"grpc-message": b"internal error"}
    assert (lease.holds, answer_lease.holds) == (0, 1 if where == "decode" else 0)
    assert "TypeError" in caplog.text


def test_bombs():
    service = FakeInferenceService()
    bomb = compressed(bytes(32 << 20))
    assert run(service, bomb, CallFormat(coding="gzip")).trailers[b"grpc-status"] == b"8"


def test_what_wire_must_know():
    endpoint = make(FakeInferenceService(), max_message_bytes=1024)
    assert endpoint.max_body_bytes == 1029
    assert endpoint.body_size(HEAD, BODY[:5]) == len(BODY)
    assert endpoint.payload_offset(HEAD) == 5


def test_other_unary_calls():
    tools = Tools(FakeInferenceService(), GrpcSettings(), lambda: 0.0)
    for body, status in ((frame(b"hi"), b"0"), (compressed(b"hi"), b"0"), (b"x", b"3")):
        exchange, lease = FakeExchange(HEAD), FakeLease()
        endpoint = Unary(
            tools, CallFormat(coding="gzip"), lambda text, to: endpoints.answer_message(to, text)
        )
        endpoint.handle(exchange, body, lease)
        assert (exchange.trailers[b"grpc-status"], lease.holds) == (status, 0)
        assert exchange.body == (frame(b"hi") if status == b"0" else b"")
    exchange = FakeExchange(HEAD)
    Unary(tools, CallFormat(), broken).handle(exchange, frame(b""), None)
    assert exchange.trailers[b"grpc-status"] == b"13"
    exchange = FakeExchange(HEAD)
    Unary(tools, CallFormat(), broken).refuse(exchange, TooLarge("x"))
    assert exchange.trailers[b"grpc-status"] == b"8"


def test_fixed_answers_also_what_wire_refuses():
    for act in (lambda e, x: e.handle(x, b"", None), lambda e, x: e.refuse(x, TooLarge("x"))):
        exchange = FakeExchange(HEAD)
        act(Fixed(lambda to: to.respond(415, ()), 10), exchange)
        assert exchange.status == 415


def test_streaming_begins_at_once():
    begun = []
    endpoint = Streaming(lambda exchange: begun.append(exchange), 10)
    exchange = FakeExchange(HEAD)
    endpoint.open(exchange)
    assert begun == [exchange]
    endpoint.refuse(exchange, TooLarge("x"))
    assert exchange.trailers[b"grpc-status"] == b"8"
