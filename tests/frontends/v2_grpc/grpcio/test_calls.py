from __future__ import annotations

import asyncio
from collections import namedtuple

import grpc
import pytest

from gateway.core.clock import monotonic_s
from gateway.frontends.v2_grpc.endpoints import SMALL_MESSAGE_BYTES, Tools
from gateway.frontends.v2_grpc.framing import PREFIX_BYTES, frame, parse_timeout
from gateway.frontends.v2_grpc.grpcio.calls import Calls, CallSettings, make_head, parse_peer, timeout
from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.generated import health_pb2
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.settings import WireSettings
from tests.fakes.grpcio import FakeContext
from tests.fakes.inference import FakeInferenceService
from tests.fakes.services import FakeBodyMemory, RoutingService, StreamEndpoint, WholeEndpoint, fail

Details = namedtuple("Details", "method")
SETTINGS = CallSettings.of(WireSettings(shared_body_bytes=4096), is_secure=False)
SERVICE = "/inference.GRPCInferenceService/"


def inference(service: FakeInferenceService) -> Grpc:
    return Grpc(Tools(service, GrpcSettings(), monotonic_s), "edge", "1")


async def run(calls: Calls, method: str, context: FakeContext) -> FakeContext:
    await calls.service(Details(method)).stream_stream(None, context)
    assert not calls.peers
    return context


def call(service, method: str, *messages: bytes, memory=None, **how) -> FakeContext:
    calls = Calls(service, SETTINGS, memory)

    async def one() -> FakeContext:
        return await run(calls, method, FakeContext(messages, **how))

    return asyncio.run(one())


def infer_message(size: int = 30) -> bytes:
    message = pb.ModelInferRequest(model_name="fraud", raw_input_contents=[bytes(4 * size)])
    message.inputs.add(name="features", datatype="FP32", shape=[size // 30, 30])
    return message.SerializeToString()


def test_an_inference_goes_through_the_native_endpoint() -> None:
    service = FakeInferenceService()
    context = call(inference(service), SERVICE + "ModelInfer", infer_message())
    assert context.code is grpc.StatusCode.OK
    answer = pb.ModelInferResponse.FromString(context.sent[0])
    assert answer.raw_output_contents[0] == bytes(120)


def test_a_deadline_arrives_at_the_request() -> None:
    service = FakeInferenceService()
    before = monotonic_s()
    call(inference(service), SERVICE + "ModelInfer", infer_message(), remaining_s=5.0)
    assert before + 4.99 < service.requests[0].deadline < monotonic_s() + 5.0


@pytest.mark.parametrize(
    ("messages", "words"), [((), "no gRPC message"), ((b"a", b"bc"), "exactly one message")]
)
def test_none_or_two_messages_are_refused_in_the_native_words(messages, words) -> None:
    context = call(inference(FakeInferenceService()), SERVICE + "ModelInfer", *messages)
    assert context.code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in context.details


def test_an_unknown_method_is_unimplemented() -> None:
    context = call(inference(FakeInferenceService()), "/no.Service/Method", b"")
    assert (context.code, context.details) == (grpc.StatusCode.UNIMPLEMENTED, "unknown service or method")


def test_a_message_over_its_endpoint_s_limit_is_refused() -> None:
    context = call(inference(FakeInferenceService()), SERVICE + "ServerLive", bytes(SMALL_MESSAGE_BYTES + 1))
    assert context.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert context.details == f"the body is over the limit of {SMALL_MESSAGE_BYTES} bytes"


@pytest.mark.parametrize("room", [True, False])
def test_a_large_message_is_put_into_shared_memory_where_there_is_room(room: bool) -> None:
    memory, endpoint = FakeBodyMemory(), WholeEndpoint()
    memory.room = room
    endpoint.offset = PREFIX_BYTES
    endpoint.answer = lambda exchange, body: exchange.respond(200, (), body, ((b"grpc-status", b"0"),))
    message = bytes(range(250)) * 20
    context = call(RoutingService(endpoint), "/a/B", message, memory=memory)
    assert memory.asked == [(PREFIX_BYTES + 5000, PREFIX_BYTES)]
    (_, body, lease) = endpoint.calls[0]
    assert (bytes(body), context.sent) == (frame(message), [message])
    assert (lease is not None) is room


def test_an_endpoint_with_a_bug_costs_one_call(caplog: pytest.LogCaptureFixture) -> None:
    context = call(RoutingService(WholeEndpoint(fail)), "/a/B", b"")
    assert context.code is grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError" in caplog.text


def cancelled(service, **how) -> None:
    """A call that the client gives up, or the core at its deadline."""

    async def one() -> None:
        context = FakeContext([b""], **how)
        task = asyncio.ensure_future(run(Calls(service, SETTINGS, None), "/a/B", context))
        for _ in range(5):
            await asyncio.sleep(0)
        context.remaining_s = 0.0 if context.remaining_s is not None else None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(one())


@pytest.mark.parametrize(
    ("endpoint", "remaining_s", "gone"),
    [
        (WholeEndpoint(), None, 1),
        (WholeEndpoint(), 9.0, 0),  # it keeps its deadline itself
        (StreamEndpoint(), None, 1),
        (StreamEndpoint(), 9.0, 1),
    ],
)
def test_an_endpoint_hears_of_a_client_that_goes(endpoint, remaining_s: float | None, gone: int) -> None:
    cancelled(RoutingService(endpoint), remaining_s=remaining_s)
    assert endpoint.gone == gone


def test_a_stream_is_heard_to_its_end() -> None:
    endpoint = StreamEndpoint(
        lambda exchange, body: exchange.respond(200, (), body, ((b"grpc-status", b"0"),))
    )
    context = call(RoutingService(endpoint), "/a/B", b"one", b"", b"three")
    assert context.sent == [b"one", b"", b"three"]
    assert endpoint.receivers[0].pieces == [frame(b"one"), frame(b""), frame(b"three")]


def test_a_stream_whose_client_goes_on_ends_with_its_answer() -> None:
    def answer(exchange, data) -> None:
        exchange.respond(200, (), data, ((b"grpc-status", b"0"),))

    def opening(exchange) -> None:
        endpoint.receivers[-1].on_piece = answer

    endpoint = StreamEndpoint(opening=opening)
    assert call(RoutingService(endpoint), "/a/B", b"one", ends=False).sent == [b"one"]


def test_a_receiver_with_a_bug_costs_one_call(caplog: pytest.LogCaptureFixture) -> None:
    context = call(RoutingService(StreamEndpoint(fail)), "/a/B")
    assert context.code is grpc.StatusCode.INTERNAL
    assert "ZeroDivisionError" in caplog.text


def test_a_health_watch_is_streamed() -> None:
    async def watch() -> None:
        grpc_service = inference(FakeInferenceService())
        calls = Calls(grpc_service, SETTINGS, None)
        context = FakeContext([b""])
        async with asyncio.TaskGroup() as group:
            group.create_task(run(calls, "/grpc.health.v1.Health/Watch", context))
            for _ in range(10):
                await asyncio.sleep(0)
            assert [health_pb2.HealthCheckResponse.FromString(one).status for one in context.sent] == [1]
            assert calls.peers == {"ipv4:127.0.0.1:5000": 1}
            grpc_service.health.finish()
        assert context.code is grpc.StatusCode.UNAVAILABLE

    asyncio.run(watch())


def test_the_head_is_that_of_the_call() -> None:
    metadata = (("authorization", "Bearer x"), ("trace-bin", b"\0\1"))
    head = make_head("/a/B", FakeContext(metadata=metadata, remaining_s=1.5), b"https")
    assert (head.method, head.path, head.http_version, head.scheme) == (b"POST", b"/a/B", "2", b"https")
    assert head.headers == (
        (b"content-type", b"application/grpc"),
        (b"grpc-timeout", b"1500m"),
        (b"authorization", b"Bearer x"),
        (b"trace-bin", b"AAE="),
    )


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 0.0999, 0.1, 0.25, 99.0, 100.0, 90_000.0, 1e6, 1e12])
def test_a_timeout_survives_its_digits(seconds: float) -> None:
    text = timeout(seconds)
    assert parse_timeout(text) == pytest.approx(min(seconds, 99_999_999), rel=1e-2, abs=1e-6)


def test_calls_with_about_the_same_time_left_share_an_endpoint() -> None:
    assert {timeout(30.0 - microseconds * 1e-6) for microseconds in range(1, 900)} == {b"29999m"}


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ipv4:127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("ipv6:%5B::1%5D:5000", ("::1", 5000)),
        ("ipv6:[fe80::1]:5", ("fe80::1", 5)),
        ("unix:/run/x", None),
        ("unknown", None),
    ],
)
def test_names_of_peers(name: str, address: tuple[str, int] | None) -> None:
    assert parse_peer(name) == address


def test_the_subject_of_a_certificate_is_handed_on() -> None:
    endpoint = WholeEndpoint(lambda exchange, body: exchange.respond(200, ()))
    call(RoutingService(endpoint), "/a/B", b"", subject=b"client one")
    assert endpoint.calls[0][0].peer == (("127.0.0.1", 5000), "client one")
