"""grpcio, the official client and its health and reflection packages, against a gateway of each engine."""

from __future__ import annotations

import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import numpy as np
import psutil
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway

SERVICE = "inference.GRPCInferenceService"
CALLS, AT_ONCE = 5000, 50
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module", params=["native", "grpcio"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway_process(engine: str, repository: Path) -> Generator[Gateway]:
    """A gateway with two fronts, its gRPC port served by one engine or the other."""
    environment = {"GATEWAY_FRONTENDS__GRPC__ENGINE": engine}
    with gateway(repository, "--fronts", "2", environment=environment) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def channel(gateway_process: Gateway) -> Generator[grpc.Channel]:
    with grpc.insecure_channel(gateway_process.grpc, UNLIMITED) as channel:
        yield channel


def method(channel: grpc.Channel, name: str) -> grpc.UnaryUnaryMultiCallable:
    """The call `name` of the inference service, with our own messages."""
    answer = getattr(pb, f"{name}Response")
    return channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )


def request(model: str, array: np.ndarray, name: str = "X") -> pb.ModelInferRequest:
    """An FP32 tensor in raw contents."""
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[array.tobytes()])
    message.inputs.add(name=name, datatype="FP32", shape=array.shape)
    return message


def numbers(response: pb.ModelInferResponse) -> np.ndarray:
    return np.frombuffer(response.raw_output_contents[0], np.float32)


def test_health_answers_for_the_server_the_service_and_a_model(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE, "model/fraud"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_something_unknown_is_not_found(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as raised:
        health.Check(health_pb2.HealthCheckRequest(service="absent"), timeout=10)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_health_watch_tells_the_status_at_once_and_can_be_given_up(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    assert watch.code() is grpc.StatusCode.CANCELLED


def test_reflection_tells_services_and_their_messages(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    service = DescriptorPool(database).FindServiceByName(SERVICE)
    infer = service.FindMethodByName("ModelInfer")
    assert infer.input_type.full_name == "inference.ModelInferRequest"
    assert infer.output_type.fields_by_name["raw_output_contents"].number == 6


def test_only_a_front_that_was_asked_to_carries_grpcio(gateway_process: Gateway, engine: str) -> None:
    for front in gateway_process.processes("front"):
        assert is_mapped(front, "cygrpc") is (engine == "grpcio")
    assert not is_mapped(psutil.Process(gateway_process.process.pid), "cygrpc")
    for port in (gateway_process.grpc, gateway_process.http.removeprefix("http://")):
        with grpc.insecure_channel(port) as channel:
            assert method(channel, "ServerLive")(pb.ServerLiveRequest(), timeout=30).live


def is_mapped(process: psutil.Process, library: str) -> bool:
    return any(library in mapped.path for mapped in process.memory_maps())


def test_five_thousand_calls_on_one_connection(channel: grpc.Channel) -> None:
    infer = method(channel, "ModelInfer")
    for start in range(0, CALLS, AT_ONCE):
        arrays = [np.full((1, 4), start + number, np.float32) for number in range(AT_ONCE)]
        waiting = [infer.future(request("echo_fp32", array), timeout=30) for array in arrays]
        for array, future in zip(arrays, waiting, strict=True):
            assert (numbers(future.result()) == array.ravel()).all()


def test_calls_interleaved_on_one_connection_keep_their_answers(channel: grpc.Channel) -> None:
    infer = method(channel, "ModelInfer")
    arrays = [np.full((1, 1 + number * 37 % 5000), number, np.float32) for number in range(200)]
    waiting = [infer.future(request("echo_fp32", array), timeout=30) for array in arrays]
    for array, future in zip(arrays, waiting, strict=True):
        assert (numbers(future.result()) == array.ravel()).all()


def test_channels_in_threads_keep_their_answers(gateway_process: Gateway) -> None:
    def run(number: int) -> bool:
        # Without this all channels to one address share a connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(gateway_process.grpc, options) as channel:
            infer = method(channel, "ModelInfer")
            array = np.full((1, 8), number, np.float32)
            return all(
                (numbers(infer(request("echo_fp32", array), timeout=30)) == number).all() for _ in "x" * 50
            )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(8)))


def test_a_deadline_shorter_than_the_load_ends_the_call_but_not_the_load(channel: grpc.Channel) -> None:
    infer = method(channel, "ModelInfer")
    array = np.ones((1, 3), np.float32)
    with pytest.raises(grpc.RpcError) as raised:
        infer(request("cold_0", array), timeout=0.001)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (numbers(infer(request("cold_0", array), timeout=30)) == 1).all()


def test_the_server_keeps_the_deadline_by_itself(gateway_process: Gateway, channel: grpc.Channel) -> None:
    """With workers that do not answer, and a client that never looks at the clock, as grpcio always does."""
    array = np.ones((1, 3), np.float32)
    method(channel, "ModelInfer")(request("echo_fp32", array), timeout=30)
    message = request("echo_fp32", array).SerializeToString()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{SERVICE}/ModelInfer"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "200m"),
    ]
    workers = gateway_process.processes("gateway-worker")
    try:
        for worker in workers:
            worker.suspend()
        answer = one_call(gateway_process.grpc, headers, b"\0" + len(message).to_bytes(4, "big") + message)
    finally:
        for worker in workers:
            worker.resume()
    assert answer["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    assert (numbers(method(channel, "ModelInfer")(request("echo_fp32", array), timeout=30)) == 1).all()


def one_call(address: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, str]:
    """The headers and trailers of one answer, by hyper-h2 over a blocking socket."""
    host, _, port = address.rpartition(":")
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    client.send_headers(1, headers)
    client.send_data(1, body, end_stream=True)
    found: dict[str, str] = {}
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        while True:
            connection.sendall(client.data_to_send())
            for event in client.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    found |= dict(event.headers)
                if isinstance(event, h2.events.StreamEnded):
                    return found
                assert not isinstance(event, h2.events.ConnectionTerminated | h2.events.StreamReset)


def test_a_cancelled_call_leaves_the_connection_usable(channel: grpc.Channel) -> None:
    infer = method(channel, "ModelInfer")
    array = np.ones((1, 3), np.float32)
    for _ in range(50):
        infer.future(request("cold_1", array), timeout=30).cancel()
    assert (numbers(infer(request("cold_1", array), timeout=30)) == 1).all()


@pytest.mark.parametrize("size", [0, 1, 16_384, 65_536, 1_000_003, 16 << 20])
def test_messages_of_every_size_come_back(channel: grpc.Channel, size: int) -> None:
    array = np.arange(size // 4, dtype=np.float32).reshape(1, -1)
    answer = method(channel, "ModelInfer")(request("echo_fp32", array), timeout=60)
    assert answer.raw_output_contents[0] == array.tobytes()
    assert [*answer.outputs[0].shape] == [1, size // 4]


@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(channel: grpc.Channel, coding: grpc.Compression) -> None:
    array = np.zeros((1, 100_000), np.float32)
    infer = method(channel, "ModelInfer")
    answer = infer(request("echo_fp32", array), compression=coding, timeout=30)
    assert answer.raw_output_contents[0] == array.tobytes()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/{SERVICE}/Absent", grpc.StatusCode.UNIMPLEMENTED),
        ("/no.Service/Method", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_an_unknown_method_is_unimplemented(
    channel: grpc.Channel, path: str, status: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(path)(b"", timeout=10)
    assert raised.value.code() is status


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x2a\x02\x0a\x05"])
def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel, message: bytes) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(f"/{SERVICE}/ModelInfer")(message, timeout=10)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_typed_contents_are_taken_as_raw_ones_are(channel: grpc.Channel) -> None:
    message = pb.ModelInferRequest(model_name="echo_fp32", id="typed")
    tensor = message.inputs.add(name="X", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend([1.0, 2.5, -3.0])
    answer = method(channel, "ModelInfer")(message, timeout=30)
    assert answer.id == "typed"
    assert numbers(answer).tolist() == [1.0, 2.5, -3.0]


def test_a_model_s_error_text_survives_the_trailers(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        method(channel, "ModelInfer")(request("absent", np.ones((1, 1), np.float32)), timeout=10)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised.value.details().startswith("Request for unknown model: 'absent'")


def test_liveness_readiness_and_metadata(channel: grpc.Channel) -> None:
    assert method(channel, "ServerLive")(pb.ServerLiveRequest(), timeout=10).live
    assert method(channel, "ServerReady")(pb.ServerReadyRequest(), timeout=10).ready
    assert method(channel, "ModelReady")(pb.ModelReadyRequest(name="fraud"), timeout=10).ready
    answer = method(channel, "ModelMetadata")(pb.ModelMetadataRequest(name="fraud"), timeout=10)
    assert [(one.name, one.datatype, [*one.shape]) for one in answer.inputs] == [
        ("features", "FP32", [-1, 30])
    ]
