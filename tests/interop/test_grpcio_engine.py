"""What is particular to a gateway whose gRPC port is served by grpcio: processes, ports, TLS, drain."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import grpc
import psutil
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.lab_models import SLOW, Brake, add_lab_model
from tests.fakes.waiting import GENEROUS_S, until_blocking
from tests.interop.test_grpcio import one_call

ENGINE = {"GATEWAY_FRONTENDS__GRPC__ENGINE": "grpcio"}
LAB = {**ENGINE, "GATEWAY_WORKERS__RUNTIMES": '{"onnxruntime": "tests.fakes.lab_runtime:LabRuntime"}'}
CERTIFICATES = Path("tests/wire/certificates").absolute()
INFER = "/inference.GRPCInferenceService/ModelInfer"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", INFER),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-timeout", "200m"),
]


@pytest.fixture
def brake(tmp_path: Path) -> Brake:
    return Brake(tmp_path)


@pytest.fixture
def lab_models(tmp_path: Path, brake: Brake) -> Path:
    """`lab`, which waits over the value SLOW until the brake is released."""
    root = tmp_path / "models"
    add_lab_model(root, "lab", rows=brake.rows)
    return root


def infer(channel: grpc.Channel, value: float, timeout_s: float = 60.0) -> grpc.Future:
    return channel.unary_unary(INFER).future(message(value), timeout=timeout_s)


def message(value: float) -> bytes:
    request = pb.ModelInferRequest(model_name="lab", raw_input_contents=[struct.pack("<f", value)])
    request.inputs.add(name="X", datatype="FP32", shape=[1, 1])
    return request.SerializeToString()


def is_live(channel: grpc.Channel) -> bool:
    answer = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=30)
    return bool(pb.ServerLiveResponse.FromString(answer).live)


def test_fronts_share_the_port_that_the_first_one_chose_and_keep_it(lab_models: Path) -> None:
    with gateway(lab_models, "--fronts", "2", environment=ENGINE) as running:
        port = int(running.grpc.rpartition(":")[2])
        fronts = running.processes("front")
        for front in fronts:
            assert port in listening_ports(front)
        running.kill(fronts[0])
        until_blocking(lambda: {one.pid for one in running.processes("front")} - {one.pid for one in fronts})
        until_blocking(lambda: all(port in listening_ports(one) for one in running.processes("front")))
        assert running.stop() == 0


def listening_ports(process: psutil.Process) -> set[int]:
    return {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}


def test_a_drain_says_goaway_finishes_what_is_under_way_and_ends_well(lab_models: Path, brake: Brake) -> None:
    with gateway(lab_models, "--fronts", "2", environment=LAB) as running:
        with grpc.insecure_channel(running.grpc) as channel:
            infer(channel, 1.0).result()
            under_way = infer(channel, SLOW)
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
            next(watch)
            until_blocking(lambda: in_flight(running) == 1)
            running.process.terminate()
            until_blocking(lambda: not running.is_healthy())
            brake.release()
            assert pb.ModelInferResponse.FromString(under_way.result()).model_name == "lab"
            with pytest.raises(grpc.RpcError):
                list(watch)
            assert watch.code() is grpc.StatusCode.UNAVAILABLE
        assert running.process.wait(GENEROUS_S) == 0


def test_a_call_beyond_the_drain_s_time_is_ended_and_so_is_the_gateway(lab_models: Path) -> None:
    limits = {"GATEWAY_SERVER__DRAIN_TIMEOUT_S": "0.2", "GATEWAY_WORKERS__STOP_GRACE_S": "0.2"}
    environment = {**LAB, **limits}
    with gateway(lab_models, environment=environment) as running:
        with grpc.insecure_channel(running.grpc) as channel:
            infer(channel, 1.0).result()
            under_way = infer(channel, SLOW)
            until_blocking(lambda: in_flight(running) == 1)
            running.process.terminate()
            with pytest.raises(grpc.RpcError):
                under_way.result()
        assert running.process.wait(GENEROUS_S) == 0


def in_flight(running: Gateway) -> float:
    page = running.page()
    return sum(value for name, value in page.items() if name.startswith("gateway_in_flight"))


def test_deadlines_and_cancellations_are_told_apart_in_the_metrics(lab_models: Path, brake: Brake) -> None:
    with gateway(lab_models, environment=LAB) as running:
        with grpc.insecure_channel(running.grpc) as channel:
            infer(channel, 1.0).result()
            cancelled = infer(channel, SLOW)
            until_blocking(lambda: in_flight(running) == 1)
            cancelled.cancel()
            until_blocking(lambda: failures(running, "CANCELLED") == 1)
        # A client that does not look at the clock itself, as grpcio's does.
        body = message(SLOW)
        trailers = one_call(running.grpc, HEADERS, b"\0" + len(body).to_bytes(4, "big") + body)
        assert trailers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
        until_blocking(lambda: failures(running, "DEADLINE_EXCEEDED") == 1)
        assert failures(running, "CANCELLED") == 1
        brake.release()
        assert running.stop() == 0


def failures(running: Gateway, reason: str) -> float:
    page = running.page()
    return sum(value for name, value in page.items() if f'"{reason}"' in name and "requests_total" in name)


def test_tls_with_clients_that_prove_who_they_are(lab_models: Path) -> None:
    environment = {
        **ENGINE,
        "GATEWAY_TLS__CERTIFICATE": str(CERTIFICATES / "server.pem"),
        "GATEWAY_TLS__KEY": str(CERTIFICATES / "server.key"),
        "GATEWAY_TLS__CLIENT_CA": str(CERTIFICATES / "authority.pem"),
    }
    authority = (CERTIFICATES / "server.pem").read_bytes()
    pair = [(CERTIFICATES / name).read_bytes() for name in ("client.key", "client.pem")]
    with gateway(lab_models, environment=environment) as running:
        for address in (running.grpc, running.http.partition("://")[2]):
            address = address.replace("127.0.0.1", "localhost")
            with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, *pair)) as channel:
                assert is_live(channel)
            with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel:
                with pytest.raises(grpc.RpcError) as refused:
                    is_live(channel)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert running.stop() == 0


@pytest.mark.parametrize("environment", [{}, ENGINE], ids=["native", "grpcio"])
def test_a_port_that_is_taken_is_told(lab_models: Path, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        running = gateway(lab_models, "--grpc-port", port, environment=environment)
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1 port {port}"), running:
            pass
