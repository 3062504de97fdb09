"""What broke other servers over HTTP: odd paths, huge bodies, thousands of idle clients, unknown names."""

from __future__ import annotations

import http.client
import json
import resource
import socket
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import h2.connection
import h2.events
import psutil
import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity
from tests.fakes.waiting import until_blocking
from tests.soak.footprint import look

HUGE = 200 << 20
IDLE = 5000
NAMES = 300
MADE_UP = 4 << 20
# What caches and allocators may keep of a body; one copy of it is more.
SLACK_BYTES = 64 << 20
# What one connection may cost while it does nothing; the others measured 4 to 21 KB.
IDLE_BYTES = 16 << 10


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    identity(root / "echo" / "1")
    return root


@pytest.fixture(scope="module")
def served(models: Path) -> Generator[Gateway]:
    with gateway(models, environment={"GATEWAY_TELEMETRY__FLUSH_S": "0.1"}) as running:
        assert running.infer("echo", {"inputs": [tensor([1.0])]})[0] == 200
        yield running
        assert running.stop() == 0, running.log.read_text()
        assert "Traceback" not in running.log.read_text()


def tensor(values: list[float]) -> dict[str, object]:
    return {"name": "X", "datatype": "FP32", "shape": [1, len(values)], "data": values}


def connection(served: Gateway) -> http.client.HTTPConnection:
    where = urlsplit(served.http)
    return http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)


def status_over_http2(served: Gateway, path: str) -> int:
    """A GET without a body by hyper-h2; it must be answered."""
    where = urlsplit(served.http)
    client = h2.connection.H2Connection()
    client.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "x")]
    client.send_headers(1, fields, end_stream=True)
    with socket.create_connection((where.hostname, where.port), timeout=30) as sock:
        while True:
            sock.sendall(client.data_to_send())
            for event in client.receive_data(sock.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[b":status"])


ODD_PATHS = [
    *("/%ff", "/v2/models/%ff", "/v2/models/%ff/docs", "/%zz", "/v2/../../etc/passwd", "//v2//health/live"),
    *("/v2/models/..%2f..%2fetc/ready", "/v2/models/echo%2Fready", "/v2/models/echo/versions/%00/ready"),
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_odd_paths_are_answered_by_both_protocols(served: Gateway, path: str) -> None:
    asked = connection(served)
    asked.request("GET", path)
    status = asked.getresponse().status
    asked.close()
    assert status in {400, 404}
    assert status_over_http2(served, path) == status


def test_a_get_without_a_body_is_answered_over_http2_by_what_starlette_serves(served: Gateway) -> None:
    assert status_over_http2(served, "/v2/models/echo/docs") == 200


def test_two_hundred_mebibytes_both_ways_are_in_memory_once_each_and_then_given_back(served: Gateway) -> None:
    before = look(served.process.pid)
    head = json.dumps({
        "inputs": [
            {
                "name": "X",
                "datatype": "FP32",
                "shape": [1, HUGE // 4],
                "parameters": {"binary_data_size": HUGE},
            }
        ],
        "parameters": {"binary_data_output": True},
    }).encode()
    asked = connection(served)
    asked.request(
        "POST",
        "/v2/models/echo/infer",
        head + bytes(HUGE),
        {"Inference-Header-Content-Length": str(len(head))},
    )
    answer = asked.getresponse()
    during = look(served.process.pid)
    body = answer.read()
    asked.close()
    assert answer.status == 200
    assert body.endswith(bytes(HUGE))
    assert during.pss_bytes - before.pss_bytes < 2.2 * HUGE, f"{before}\n{during}"
    until_blocking(lambda: look(served.process.pid).pss_bytes < before.pss_bytes + SLACK_BYTES)


def test_five_thousand_idle_clients_cost_little_and_others_are_served(served: Gateway) -> None:
    where = urlsplit(served.http)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[1] < IDLE + 500:
        pytest.skip(f"this machine allows a process {limit[1]} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit[0], IDLE + 500), limit[1]))
    (front,) = served.processes("front")
    before, descriptors = look(served.process.pid), front.num_fds()
    clients: list[socket.socket] = []
    try:
        for _ in range(IDLE):
            clients.append(socket.create_connection((where.hostname, where.port), timeout=10))
        until_blocking(lambda: served.page()["gateway_connections"] >= IDLE)
        assert served.infer("echo", {"inputs": [tensor([2.0])]})[0] == 200
        assert look(served.process.pid).pss_bytes - before.pss_bytes < IDLE * IDLE_BYTES
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    until_blocking(lambda: served.page()["gateway_connections"] == 0)
    until_blocking(lambda: psutil.Process(front.pid).num_fds() <= descriptors)


def test_names_that_nobody_knows_make_no_series(served: Gateway) -> None:
    def sizes() -> tuple[int, float]:
        page = served.page()
        refused = sum(
            v for k, v in page.items() if k.startswith("gateway_requests_total") and "NOT_FOUND" in k
        )
        return len(page), refused

    assert served.infer("absent", {"inputs": [tensor([1.0])]})[0] == 404
    until_blocking(lambda: sizes()[1] >= 1)
    series, refused = sizes()
    for number in range(NAMES):
        for path in (f"absent-{number}", f"echo/versions/{number + 2}"):
            assert served.infer(path, {"inputs": [tensor([1.0])]})[0] == 404
    until_blocking(lambda: sizes()[1] == refused + 2 * NAMES)
    # The version that is not there may have its one series, and no more.
    assert sizes()[0] <= series + 40
    assert not any("absent" in name for name in served.page())


def test_what_a_caller_makes_up_is_not_remembered(served: Gateway) -> None:
    """Neither parameters nor an id; each of a request's own size, and each different."""
    plain = {"inputs": [tensor([1.0])]}
    before = look(served.process.pid)
    for number in range(40):
        long = f"{number}" + "x" * MADE_UP
        told = {**plain, "id": long} if number % 2 else {**plain, "parameters": {"note": long}}
        assert served.infer("echo", told)[0] == 200
    after = look(served.process.pid)
    assert after.pss_bytes - before.pss_bytes < 10 * MADE_UP, f"{before}\n{after}"


def test_requests_are_logged_when_asked_for(models: Path, served: Gateway) -> None:
    with gateway(models, "--access-log") as running:
        assert running.infer("echo", {"inputs": [tensor([1.0])]})[0] == 200
        assert running.infer("absent", {"inputs": [tensor([1.0])]})[0] == 404
        assert running.stop() == 0
        lines = [json.loads(line) for line in running.out.read_text().splitlines() if line.startswith("{")]
    outcomes = [(line["model"], line["protocol"], line["outcome"]) for line in lines]
    assert outcomes == [("echo", "rest", "OK"), ("", "rest", "NOT_FOUND")]
    assert served.infer("echo", {"inputs": [tensor([1.0])]})[0] == 200
    assert "{" not in served.out.read_text()
