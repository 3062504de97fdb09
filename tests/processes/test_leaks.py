"""Processes that die with large tensors under way leave no descriptor, no memory file and no socket file."""

from __future__ import annotations

import http.client
import json
import os
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.lab_models import add_lab_model
from tests.fakes.waiting import until_blocking

LAB = {
    "GATEWAY_REPOSITORY__WATCH": "false",  # it opens its own, two seconds after the start
    "GATEWAY_WORKERS__RUNTIMES": '{"onnxruntime": "tests.fakes.lab_runtime:LabRuntime"}',
    "GATEWAY_WORKERS__CRASH_LIMIT": "50",
    "GATEWAY_WORKERS__RESTART_BACKOFF_S": "0.05",
    "GATEWAY_WORKERS__RESTART_BACKOFF_CAP_S": "0.1",
    "GATEWAY_TELEMETRY__FLUSH_S": "0.1",
}
VALUES = 1 << 18
ROUNDS = 3
CLIENTS = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add_lab_model(root, "lab")
    return root


def request(served: Gateway) -> int:
    """One row of 1 MiB there and back, as binary data; the status, 0 for a lost connection."""
    tensor = {
        "name": "X",
        "datatype": "FP32",
        "shape": [1, VALUES],
        "parameters": {"binary_data_size": 4 * VALUES},
    }
    wanted = {"name": "ROW", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    row = struct.pack("<f", 3.0) * VALUES
    asked = urllib.request.Request(
        served.http + "/v2/models/lab/infer",
        head + row,
        {"Inference-Header-Content-Length": str(len(head))},
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert answer.read().endswith(row)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException):
        return 0


@contextmanager
def load(served: Gateway) -> Generator[Counter[int]]:
    """Large requests from several threads; the outcomes so far."""
    outcomes: Counter[int] = Counter()
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            outcomes[request(served)] += 1

    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def is_quiet(served: Gateway) -> bool:
    gauges = ("gateway_queue_depth", "gateway_in_flight", "gateway_connections")
    return sum(value for name, value in served.page().items() if name.startswith(gauges)) == 0


def descriptors(served: Gateway) -> Counter[str]:
    """What the whole tree has open, by kind; memory files too."""
    family = [psutil.Process(served.process.pid), *served.processes()]
    found: Counter[str] = Counter()
    for process in family:
        folder = Path(f"/proc/{process.pid}/fd")
        for name in os.listdir(folder):
            try:
                found[os.readlink(folder / name).partition(":")[0]] += 1
            except FileNotFoundError:
                continue
    return found


def all_but_pools(served: Gateway) -> Counter[str]:
    found = descriptors(served)
    del found["/memfd"]
    return found


def least(served: Gateway) -> Counter[str]:
    """What is open when no connection is on its way out: the least of several looks."""
    looks = []
    for _ in range(10):
        looks.append(all_but_pools(served))
        time.sleep(0.05)
    return min(looks, key=lambda one: one.total())


@pytest.mark.parametrize("kind", ["gateway-worker", "front"])
def test_deaths_with_large_tensors_under_way_leave_nothing_open(models: Path, kind: str) -> None:
    with gateway(models, environment=LAB) as served:
        assert request(served) == 200
        until_blocking(lambda: is_quiet(served) and served.processes("gateway-spare"))
        before, pools = least(served), []
        for _ in range(ROUNDS):
            with load(served) as outcomes:
                until_blocking(lambda outcomes=outcomes: outcomes[200] >= 10)  # type: ignore[misc]
                (victim,) = served.processes(kind)
                served.kill(victim)
                served.wait_for_replacement(kind)
                until_blocking(served.is_healthy)
                goal = outcomes[200] + 10
                until_blocking(lambda outcomes=outcomes, goal=goal: outcomes[200] >= goal)  # type: ignore[misc]
            assert set(outcomes) <= {200, 503, 0}
            until_blocking(lambda: is_quiet(served))
            pools.append(descriptors(served)["/memfd"])
            # Not at once: what asked for the metrics is a connection, too, and ends in its own time.
            until_blocking(lambda: all_but_pools(served) == before)
        # Pools of shared memory keep some files for the next body; they do not grow with the dead.
        assert len(served.processes("gateway-worker")) == 1
        assert max(pools) <= 6 * 2 * CLIENTS, pools
        for process in served.processes():
            assert not any(one.laddr for one in process.net_connections("unix")), "a socket file"
        assert served.stop() == 0
    assert not any("gateway" in name for name in os.listdir("/dev/shm"))
