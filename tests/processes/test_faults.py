"""The whole gateway under load while its processes are killed: invariants I1 to I6.

I1 each request has one outcome. I2 an answer is that of its own input (the lab model's checksum plus
its version). I3 gauges return to where they began. I4 every failure is counted, by a bounded label.
I5 readiness agrees across protocols. I6 no secret in any log, metric or error.
"""

from __future__ import annotations

import http.client
import json
import random
import signal
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import psutil
import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import soon, survivors, until_blocking

CANARY = "c4n4ry-5ecret"
THREADS = 6
CRASH_LIMIT = 12
LAB = {
    "GATEWAY_WORKERS__RUNTIMES": '{"onnxruntime": "tests.fakes.lab_runtime:LabRuntime"}',
    "GATEWAY_WORKERS__HEARTBEAT_TIMEOUT_S": "2",
    # These tests kill more workers of one model in a minute than the default takes for a crash loop.
    "GATEWAY_WORKERS__CRASH_LIMIT": str(CRASH_LIMIT),
    "GATEWAY_WORKERS__RESTART_BACKOFF_S": "0.05",
    "GATEWAY_WORKERS__RESTART_BACKOFF_CAP_S": "0.2",
}


def add_model(root: Path, name: str, told: dict[str, object], *, instances: int = 1) -> None:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"lab")
    (folder / "model.lab").write_text(json.dumps(told))
    count = f"instance_group [ {{ count: {instances} }} ]\n"
    (root / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{count}')


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add_model(root, "twins", {"rows": {"666": {"do": "signal", "n": int(signal.SIGSEGV)}}}, instances=2)
    add_model(root, "single", {})
    add_model(root, "refused", {"load": {"fail": "a cyclic graph"}})
    add_model(root, "crashes", {"load": {"signal": int(signal.SIGKILL)}})
    return root


@pytest.fixture(scope="module")
def served(repository: Path) -> Generator[Gateway, None, None]:
    with gateway(repository, "--fronts", "2", environment=LAB) as running:
        for model in ("twins", "single"):
            assert running.infer(model, body([1.0]))[0] == 200
        until_blocking(lambda: len(running.processes("gateway-worker")) == 3)
        yield running


def body(row: list[float]) -> dict[str, object]:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, len(row)], "data": row}
    return {"id": CANARY, "inputs": [tensor], "outputs": [{"name": "CHECKSUM"}]}


def oracle(row: list[float], version: int) -> int:
    return zlib.crc32(struct.pack(f"<{len(row)}f", *row)) + version


class Load:
    """Threads that call a model in a closed loop and judge every answer; a context manager."""

    def __init__(self, url: str, model: str) -> None:
        self.address = urlsplit(url)
        self.path = f"/v2/models/{model}/infer"
        self.sent = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[object] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(THREADS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a request without an outcome"
        assert self.sent == sum(self.outcomes.values())
        assert not self.wrong, self.wrong[:3]

    def wait_for(self, more: int) -> None:
        """Waits until so many more requests were answered well."""
        goal = self.outcomes["200"] + more
        until_blocking(lambda: self.outcomes["200"] >= goal)

    def _run(self, seed: int) -> None:
        numbers = random.Random(seed)
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            if connection is None:
                host, port = self.address.hostname, self.address.port
                connection = http.client.HTTPConnection(str(host), port, timeout=60)
            row = [float(numbers.randrange(1000, 100_000)) for _ in range(4)]
            outcome = self._call(connection, row)
            with self._lock:
                self.sent += 1
                self.outcomes[outcome] += 1
            if outcome == "connection":
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _call(self, connection: http.client.HTTPConnection, row: list[float]) -> str:
        try:
            connection.request("POST", self.path, json.dumps(body(row)))
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return "connection"
        if answer.status == 200:
            checksum = told["outputs"][0]["data"][0]
            if checksum != oracle(row, int(told["model_version"])):
                self.wrong.append((row, told))
        elif not told.get("error"):
            self.wrong.append(told)
        return str(answer.status)


def workers_of(served: Gateway) -> list[psutil.Process]:
    return served.processes("gateway-worker")


def gauges(served: Gateway) -> float:
    """Everything that waits or runs."""
    page = served.page()
    return sum(v for k, v in page.items() if k.startswith(("gateway_queue_depth", "gateway_in_flight")))


def settled(served: Gateway) -> bool:
    return gauges(served) == 0 and len(workers_of(served)) == 3


def counted(served: Gateway, model: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, value in served.page().items():
        if name.startswith("gateway_requests_total{") and f'model="{model}"' in name:
            found[name.split('outcome="')[1].split('"')[0]] += int(value)
    return found


def test_a_killed_worker_costs_its_twin_nothing(served: Gateway) -> None:
    with Load(served.http, "twins") as load:
        load.wait_for(200)
        victim = max(workers_of(served), key=lambda one: one.cpu_times().user)
        served.kill(victim)
        served.wait_for_replacement("gateway-worker", soon(1.0))
        load.wait_for(500)
    assert set(load.outcomes) <= {"200", "503"}
    assert load.outcomes["200"] >= 0.99 * load.sent
    until_blocking(lambda: settled(served))
    # One more than this test sent: the fixture's.
    until_blocking(lambda: sum(counted(served, "twins").values()) == load.sent + 1)


def test_the_only_worker_is_back_and_waiters_are_answered(served: Gateway) -> None:
    with Load(served.http, "single") as load:
        load.wait_for(200)
        for victim in workers_of(served):
            served.kill(victim)
        load.wait_for(500)
    assert set(load.outcomes) <= {"200", "503"}
    assert load.outcomes["503"] <= THREADS
    until_blocking(lambda: settled(served))


def test_a_killed_zygote_costs_nothing(served: Gateway) -> None:
    (zygote,) = served.processes("gateway-zygote")
    with Load(served.http, "twins") as load:
        load.wait_for(100)
        served.kill(zygote)
        served.wait_for_replacement("gateway-zygote", soon(1.0))
        victim = workers_of(served)[0]
        served.kill(victim)  # forked by the dead zygote, adopted by the controller, replaced by the new one
        load.wait_for(300)
    assert load.outcomes["200"] >= 0.99 * load.sent
    until_blocking(lambda: settled(served))


def test_a_killed_front_costs_only_its_connections(served: Gateway) -> None:
    fronts = served.processes("front")
    assert len(fronts) == 2
    with Load(served.http, "twins") as load:
        load.wait_for(200)
        served.kill(fronts[0])
        served.wait_for_replacement("front", soon(1.0))
        until_blocking(served.is_healthy)  # which it is once the new one accepts too
        load.wait_for(300)
        # The new one is attached to the workers that live, and serves as well as the other.
        served.kill(fronts[1])
        load.wait_for(300)
    assert set(load.outcomes) <= {"200", "connection"}
    # Each thread loses the request in flight, and may find a socket that nobody accepts from any more.
    assert load.outcomes["connection"] <= 8 * THREADS
    until_blocking(served.is_healthy)
    until_blocking(lambda: settled(served))


def test_a_stopped_worker_does_not_stop_the_gateway(served: Gateway) -> None:
    """SIGSTOP: alive, silent. Other models do not notice; it is replaced when it is given up."""
    victim = workers_of(served)[0]
    victim.suspend()
    for _ in range(20):
        statuses = {served.infer(model, body([5.0, 6.0]))[0] for model in ("twins", "single")}
        assert statuses <= {200, 503, 504}
    until_blocking(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
    until_blocking(lambda: settled(served))


def test_a_model_that_does_not_load_is_refused_with_its_reason_and_others_serve(served: Gateway) -> None:
    for _ in range(3):
        status, told, headers = served.infer("refused", body([1.0]))
        assert status == 503
        assert "a cyclic graph" in told["error"]
        assert int(headers["retry-after"]) >= 1
    assert served.infer("twins", body([1.0]))[0] == 200
    until_blocking(
        lambda: served.page().get('gateway_model_loads_total{model="refused",result="failed",version="1"}')
    )
    loads = served.page()['gateway_model_loads_total{model="refused",result="failed",version="1"}']
    assert loads == 1, "the failure is remembered"


def test_a_crash_loop_is_quarantined(served: Gateway) -> None:
    statuses = {served.infer("crashes", body([1.0]))[0] for _ in range(2)}
    assert statuses == {503}
    until_blocking(
        lambda: f"died {CRASH_LIMIT} times" in served.infer("crashes", body([1.0]))[1]["error"], 15
    )
    assert served.page()['gateway_worker_restarts_total{model="crashes",version="1"}'] == CRASH_LIMIT
    assert served.infer("twins", body([1.0]))[0] == 200


def test_readiness_agrees_across_protocols(served: Gateway) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    assert served.ask("/v2/health/ready")[0] == 200
    with grpc.insecure_channel(served.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_no_secret_is_told(served: Gateway) -> None:
    assert CANARY not in served.log.read_text()
    assert not any(CANARY in name for name in served.page())


def test_a_poison_request_hurts_no_mate_and_a_drain_loses_nothing(repository: Path) -> None:
    # One front: with several, only the worker could tell whose batch it died of.
    with gateway(repository, environment=LAB) as running, Load(running.http, "twins") as load:
        load.wait_for(100)
        status, told, _ = running.infer("twins", body([666.0, 1.0]))
        assert (status, "died twice" in told["error"]) == (500, True)
        load.wait_for(200)
        assert set(load.outcomes) <= {"200", "503"}
        assert load.outcomes["503"] <= THREADS
        family = running.processes()
        assert running.stop() == 0
        assert not survivors(family, soon(1.0))
        assert "Traceback" not in running.log.read_text()
    assert set(load.outcomes) <= {"200", "connection", "503"}


def test_nothing_outlives_a_killed_controller(repository: Path) -> None:
    with gateway(repository, "--fronts", "2", environment=LAB) as running:
        assert running.infer("single", body([1.0]))[0] == 200
        family = running.processes()
        assert len(family) == 4
        running.process.kill()
        assert not survivors(family)
