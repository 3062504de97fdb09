"""What broke other servers when the official client leaned on them: many calls, many ends, odd metadata."""

from __future__ import annotations

import queue
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.lab_models import SLOW, Brake, add_lab_model
from tests.fakes.waiting import until_blocking

SERVICE = "/inference.GRPCInferenceService/"
INFER = SERVICE + "ModelInfer"
DEADLINE_S = 0.02
AT_ONCE = 50
LARGE = 64 << 20
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def brake(tmp_path_factory: pytest.TempPathFactory) -> Brake:
    return Brake(tmp_path_factory.mktemp("brake"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, brake: Brake) -> Path:
    """`echo`, and `slow`, which waits over the value SLOW until the brake is released."""
    root = tmp_path_factory.mktemp("models")
    add_lab_model(root, "echo")
    add_lab_model(root, "slow", rows=brake.rows)
    return root


@pytest.fixture(scope="module", params=["native", "grpcio"])
def served(request: pytest.FixtureRequest, models: Path) -> Generator[Gateway]:
    """Two fronts, by either engine of gRPC, with both models loaded."""
    environment = {
        "GATEWAY_FRONTENDS__GRPC__ENGINE": request.param,
        "GATEWAY_WORKERS__RUNTIMES": '{"onnxruntime": "tests.fakes.lab_runtime:LabRuntime"}',
        "GATEWAY_TELEMETRY__FLUSH_S": "0.1",
    }
    with gateway(models, "--fronts", "2", environment=environment) as running:
        with grpc.insecure_channel(running.grpc) as channel:
            for model in ("echo", "slow"):
                channel.unary_unary(INFER)(message(model, 0.0), timeout=30)
        yield running
        assert running.stop() == 0, running.log.read_text()
        # grpcio itself writes one when a client goes while its status is being sent.
        assert request.param == "grpcio" or "Traceback" not in running.log.read_text()


@pytest.fixture
def channel(served: Gateway) -> Generator[grpc.Channel]:
    """A connection that no other test has."""
    options = [*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(served.grpc, options) as channel:
        yield channel


def message(model: str, value: float, padding: bytes = b"") -> bytes:
    """One row: `value`, then `padding`."""
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[struct.pack("<f", value) + padding])
    request.inputs.add(name="X", datatype="FP32", shape=[1, 1 + len(padding) // 4])
    request.outputs.add(name="ROW")
    return request.SerializeToString()


def row(answer: bytes) -> bytes:
    return pb.ModelInferResponse.FromString(answer).raw_output_contents[0]


def value_of(answer: bytes) -> float:
    return float(struct.unpack_from("<f", row(answer))[0])


def counted(served: Gateway, outcome: str) -> float:
    page = served.page()
    return sum(v for k, v in page.items() if k.startswith("gateway_requests_total") and f'"{outcome}"' in k)


def under_way(served: Gateway) -> float:
    gauges = ("gateway_queue_depth", "gateway_in_flight")
    return sum(value for name, value in served.page().items() if name.startswith(gauges))


def test_metadata_of_any_kind_goes_with_a_call(channel: grpc.Channel) -> None:
    metadata = (("authorization", "Bearer x"), ("trace-bin", bytes(range(256))), ("x", "1"), ("x", "2"))
    answer, call = channel.unary_unary(INFER).with_call(message("echo", 3.0), metadata=metadata, timeout=10)
    assert value_of(answer) == 3.0
    assert call.code() is grpc.StatusCode.OK
    assert {one.key for one in call.trailing_metadata()} <= {"grpc-status"}


def test_a_name_of_any_letters_comes_back_in_the_message_of_the_error(channel: grpc.Channel) -> None:
    for name in ("模型", "naïve 🐈", 'a"%E4%'):
        request = pb.ModelInferRequest.FromString(message("echo", 1.0))
        request.inputs[0].name = name
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(INFER)(request.SerializeToString(), timeout=10)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert name in raised.value.details()


def test_a_refusal_does_not_wait_for_the_message_and_the_connection_goes_on(channel: grpc.Channel) -> None:
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(SERVICE + "Absent")(bytes(4 << 20), timeout=10)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert value_of(channel.unary_unary(INFER)(message("echo", 4.0), timeout=10)) == 4.0


def test_a_message_beyond_the_limit_is_exhausting_and_the_connection_goes_on(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(INFER)(bytes((256 << 20) + 1), timeout=30)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert value_of(channel.unary_unary(INFER)(message("echo", 5.0), timeout=10)) == 5.0


def test_sixty_four_mebibytes_come_back(channel: grpc.Channel) -> None:
    padding = bytes(range(256)) * (LARGE // 256)
    assert row(channel.unary_unary(INFER)(message("echo", 6.0, padding), timeout=60))[4:] == padding


def test_three_thousand_calls_at_once(channel: grpc.Channel) -> None:
    infer = channel.unary_unary(INFER)
    calls = [infer.future(message("echo", 10.0 + number), timeout=60) for number in range(3000)]
    assert [value_of(call.result()) for call in calls] == [10.0 + number for number in range(3000)]


def test_many_missed_deadlines_cost_nobody_else_a_call(channel: grpc.Channel, brake: Brake) -> None:
    """Three calls in five have 20 ms, and their model is busy; the others share their connection."""
    infer = channel.unary_unary(INFER)
    brake.hold()
    stuck = infer.future(message("slow", SLOW), timeout=60)
    outcomes: Counter[object] = Counter()
    for turn in range(3000 // AT_ONCE):
        hasty = [infer.future(message("slow", 1.0), timeout=DEADLINE_S) for _ in range(AT_ONCE * 3 // 5)]
        values = [100.0 * turn + number for number in range(AT_ONCE * 2 // 5)]
        patient = [infer.future(message("echo", value + 10), timeout=60) for value in values]
        outcomes.update(call.code() for call in hasty)
        assert [value_of(call.result()) - 10 for call in patient] == values
    # Some of the first may pass it on the way.
    assert set(outcomes) <= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert outcomes[grpc.StatusCode.DEADLINE_EXCEEDED] > 500
    brake.release()
    assert value_of(stuck.result()) == SLOW


def test_three_hundred_streams_on_one_connection_all_begin(channel: grpc.Channel) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch
    # Beyond the limit of 256 a client waits for a stream to end, which these do only when told to.
    streams = [watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(300)]
    for stream in streams:
        assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()


def test_an_error_after_a_message_leaves_the_message(channel: grpc.Channel) -> None:
    good = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    talk = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    answers = talk(iter([good, b"\xff"]), timeout=10)
    first = reflection_pb2.ServerReflectionResponse.FromString(next(answers))
    assert first.list_services_response.service
    with pytest.raises(grpc.RpcError) as raised:
        next(answers)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_conversation_in_lockstep(channel: grpc.Channel) -> None:
    """Each of a thousand questions is asked when the one before was answered."""
    answered: queue.SimpleQueue[str] = queue.SimpleQueue()
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    def ask() -> Generator[reflection_pb2.ServerReflectionRequest]:
        yield request
        for _ in range(999):
            assert answered.get(timeout=10)
            yield request

    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(ask(), timeout=60)
    count = 0
    for answer in answers:
        answered.put(answer.list_services_response.service[0].name)
        count += 1
    assert count == 1000


@pytest.mark.parametrize("served", ["native"], indirect=True)
def test_a_quiet_client_that_pings_is_served_afterwards(served: Gateway) -> None:
    """A stream without a message and a call after silence, both beyond several pings of the client.

    The official server calls a ping in less than five minutes of silence too many, by default.
    """
    options = [
        ("grpc.keepalive_time_ms", 500),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.insecure_channel(served.grpc, options) as channel:
        infer = channel.unary_unary(INFER)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        time.sleep(2.0)
        assert watch.is_active()
        assert value_of(infer(message("echo", 8.0), timeout=10)) == 8.0
        watch.cancel()


VICTIM = """
import grpc, sys
with grpc.insecure_channel(sys.argv[1]) as channel:
    grpc.channel_ready_future(channel).result(30)
    print("up", flush=True)
    sys.stdin.readline()
    channel.unary_unary(sys.argv[2])(bytes.fromhex(sys.argv[3]), timeout=60)
"""


def test_the_death_of_a_client_is_seen_and_what_it_asked_for_is_dropped(
    served: Gateway, channel: grpc.Channel, brake: Brake
) -> None:
    """The call that waits behind a slow one of somebody else is over long before its turn comes."""
    brake.hold()
    before = counted(served, "CANCELLED")
    command = [sys.executable, "-c", VICTIM, served.grpc, INFER, message("slow", 1.0).hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdin is not None
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"up\n"
        slow = channel.unary_unary(INFER).future(message("slow", SLOW), timeout=30)
        until_blocking(lambda: under_way(served) == 1)
        victim.stdin.write(b"\n")
        victim.stdin.flush()
        until_blocking(lambda: under_way(served) == 2)
        victim.kill()
    until_blocking(lambda: counted(served, "CANCELLED") == before + 1)
    assert not slow.done()
    brake.release()
    assert value_of(slow.result()) == SLOW
    until_blocking(lambda: under_way(served) == 0)
