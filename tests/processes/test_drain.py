"""SIGTERM and Ctrl-C with work under way: no longer ready, nothing is lost, and all ends in time."""

from __future__ import annotations

import http.client
import json
import signal
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from grpc_health.v1 import health_pb2

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.lab_models import SLOW, Brake, add_lab_model
from tests.fakes.waiting import GENEROUS_S, soon, until_blocking

LAB = {
    "GATEWAY_WORKERS__RUNTIMES": '{"onnxruntime": "tests.fakes.lab_runtime:LabRuntime"}',
    "GATEWAY_TELEMETRY__FLUSH_S": "0.05",
}
NOT_SERVING = health_pb2.HealthCheckResponse(status="NOT_SERVING").SerializeToString()
INFER = "/inference.GRPCInferenceService/ModelInfer"
EACH = 25


@pytest.fixture
def brake(tmp_path: Path) -> Brake:
    return Brake(tmp_path)


@pytest.fixture
def models(tmp_path: Path, brake: Brake) -> Path:
    """`lab`, which waits over the value SLOW until the brake is released."""
    root = tmp_path / "models"
    add_lab_model(root, "lab", rows=brake.rows)
    return root


def body(value: float) -> str:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [value]}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "ROW"}]})


def message(value: float) -> bytes:
    request = pb.ModelInferRequest(model_name="lab", raw_input_contents=[struct.pack("<f", value)])
    request.inputs.add(name="X", datatype="FP32", shape=[1, 1])
    request.outputs.add(name="ROW")
    return request.SerializeToString()


def rest(running: Gateway, value: float) -> float:
    """One request on a connection of its own; the value that came back."""
    where = urlsplit(running.http)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    connection.request("POST", "/v2/models/lab/infer", body(value))
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 200, told
    # The client's next request must not go to whom is about to leave.
    assert answer.getheader("Connection") == "close"
    return float(told["outputs"][0]["data"][0])


def value_of(answer: bytes) -> float:
    (value,) = struct.unpack("<f", pb.ModelInferResponse.FromString(answer).raw_output_contents[0])
    return float(value)


def under_way(running: Gateway) -> float:
    gauges = ("gateway_queue_depth", "gateway_in_flight")
    return sum(value for name, value in running.page().items() if name.startswith(gauges))


@pytest.mark.parametrize(("signum", "fronts"), [(signal.SIGTERM, "2"), (signal.SIGINT, "1")])
def test_fifty_of_fifty_in_flight_are_answered(models: Path, brake: Brake, signum: int, fronts: str) -> None:
    """Half over REST, half over gRPC; one is slow and the others wait behind it."""
    with gateway(models, "--fronts", fronts, environment=LAB) as running:
        assert running.infer("lab", json.loads(body(0.0)))[0] == 200
        with ThreadPoolExecutor(EACH) as pool, grpc.insecure_channel(running.grpc) as channel:
            infer = channel.unary_unary(INFER)
            values = [SLOW, *(100.0 + number for number in range(EACH - 1))]
            by_rest = [pool.submit(rest, running, SLOW)]
            by_grpc = [infer.future(message(SLOW), timeout=30)]
            until_blocking(lambda: under_way(running) == 2)
            by_rest += [pool.submit(rest, running, value) for value in values[1:]]
            by_grpc += [infer.future(message(value), timeout=30) for value in values[1:]]
            until_blocking(lambda: under_way(running) == 2 * EACH)
            running.process.send_signal(signum)
            until_blocking(lambda: not running.is_healthy(), soon(1.0))
            brake.release()
            assert [one.result() for one in by_rest] == values
            assert [value_of(one.result()) for one in by_grpc] == values
        assert running.process.wait(GENEROUS_S) == 0
        assert "Traceback" not in running.log.read_text()


def test_before_a_drain_balancers_are_told_and_callers_still_served(models: Path) -> None:
    """Not ready by REST, by gRPC and by its health service, while calls and new connections are welcome."""
    environment = {**LAB, "GATEWAY_SERVER__PRE_DRAIN_S": "60"}
    with gateway(models, environment=environment) as running, grpc.insecure_channel(running.grpc) as channel:
        ready = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert running.ask("/v2/health/ready")[0] == 200
        assert pb.ServerReadyResponse.FromString(ready(b"", timeout=30)).ready
        running.process.terminate()
        until_blocking(lambda: running.ask("/v2/health/ready")[0] == 503)
        assert not pb.ServerReadyResponse.FromString(ready(b"", timeout=30)).ready
        assert health(b"", timeout=30) == NOT_SERVING
        assert running.ask("/v2/health/live")[0] == 200
        assert running.infer("lab", json.loads(body(1.0)))[0] == 200
        assert value_of(channel.unary_unary(INFER)(message(2.0), timeout=30)) == 2.0
        running.process.terminate()  # who asks twice does not wait
        assert running.process.wait(GENEROUS_S) == 0


def test_what_cannot_end_in_time_is_cut_off_and_the_status_is_still_0(models: Path) -> None:
    """The slow one has not ended when the gateway has."""
    limits = {"GATEWAY_SERVER__DRAIN_TIMEOUT_S": "0.2", "GATEWAY_WORKERS__STOP_GRACE_S": "0.2"}
    environment = {**LAB, **limits}
    with gateway(models, environment=environment) as running, ThreadPoolExecutor(1) as pool:
        assert running.infer("lab", json.loads(body(0.0)))[0] == 200
        slow: Future[float] = pool.submit(rest, running, SLOW)
        until_blocking(lambda: under_way(running) == 1)
        running.process.terminate()
        with pytest.raises((OSError, http.client.HTTPException)):
            slow.result()
        assert running.process.wait(GENEROUS_S) == 0
