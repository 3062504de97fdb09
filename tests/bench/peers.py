"""`make bench-peers`: JSON at 64 connections against the servers people install from the package registry.

Each runs in an environment of its own, made from requirements/bench-<peer>.lock, with its dynamic
batching on where it has one (64 rows, 2 ms), all of its processes on the servers' cores.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench import calls, run
from tests.bench.bodies import Signature, TensorName, fraud_rows, json_infer
from tests.bench.comparison import Comparison, Sample, Side
from tests.bench.environments import environment
from tests.bench.load import RestCall, rest
from tests.bench.models import FRAUD_ONNX
from tests.bench.report import at_least
from tests.bench.servers import Server, free_ports, running
from tests.bench.suite import CONNECTIONS, Setting, gateway_side

HERE = Path(__file__).parent / "peer_servers"
_OWN = TensorName("features", "FP32", (-1, 30))


class Peer(NamedTuple):
    """How a peer is started in its environment, when it is ready, what it is asked and must be beaten by.

    In `command`, {bin} is its environment's bin folder, {here} the folder of the server files, {work} a
    folder that exists while it runs. `is_v2`: it speaks V2 JSON, else {"data": rows} with the score
    anywhere in the answer.
    """

    name: str
    title: str
    times: float
    command: Sequence[str]
    ready: str
    path: str
    is_v2: bool = False


PEERS = (
    Peer(
        "fastapi",
        "FastAPI + ONNX Runtime",
        6,
        ("{bin}/python", "{here}/fastapi_server.py"),
        "/ready",
        "/predict",
    ),
    Peer(
        "mlserver",
        "MLServer",
        12,
        ("{bin}/mlserver", "start", "{work}"),
        "/v2/models/fraud/ready",
        "/v2/models/fraud/infer",
        is_v2=True,
    ),
    Peer(
        "kserve",
        "KServe",
        18,
        ("{bin}/python", "{here}/kserve_server.py"),
        "/v2/models/fraud/ready",
        "/v2/models/fraud/infer",
        is_v2=True,
    ),
    Peer("litserve", "LitServe", 30, ("{bin}/python", "{here}/litserve_server.py"), "/health", "/predict"),
    Peer(
        "bentoml",
        "BentoML",
        30,
        (
            "{bin}/python",
            "-m",
            "bentoml",
            "serve",
            "bentoml_service:Fraud",
            "--working-dir",
            "{here}",
            "--host",
            "127.0.0.1",
        ),
        "/readyz",
        "/predict",
    ),
    Peer("ray", "Ray Serve", 30, ("{bin}/python", "{here}/ray_server.py"), "/-/healthz", "/predict"),
)


@contextmanager
def serving(peer: Peer, cpus: frozenset[int]) -> Generator[Server]:
    """The peer's server; raises Missing where its environment cannot be made."""
    bin_folder = environment(peer.name, f"bench-{peer.name}") / "bin"
    http_port, grpc_port, metrics_port = free_ports(3)
    with tempfile.TemporaryDirectory(prefix=f"bench-{peer.name}-") as work:
        if peer.name == "mlserver":
            _write_mlserver_settings(Path(work), http_port, grpc_port, metrics_port)
        places = {"bin": str(bin_folder), "here": str(HERE), "work": work}
        command = [part.format_map(places) for part in peer.command]
        env = environment_variables(bin_folder, http_port, work)
        ready = (http_port, peer.ready)
        with running(command, cpus=cpus, ready=ready, env=env, cwd=Path(work), timeout_s=120) as process:
            yield Server(peer.title, process.pid, http_port)


def call(peer: Peer, server: Server) -> RestCall:
    """A call of one row, whose answer was found right; raises WrongAnswer."""
    if peer.is_v2:
        body = json_infer(Signature("fraud", (_OWN,), ()), fraud_rows())
    else:
        rows = [[float(str(value)) for value in row] for row in fraud_rows()]
        body = msgspec.json.encode({"data": rows})
    made = RestCall(peer.path, body)
    status, _, answer = calls.post(server.http_port, made)
    scores = list(floats(msgspec.json.decode(answer))) if status == 200 else []
    expected = calls.fraud_score()
    if not any(abs(score - expected) < 1e-5 for score in scores):
        raise calls.WrongAnswer(f"{peer.title}: {status} {answer[:300]!r}, the model says {expected}")
    return made


def comparisons(setting: Setting) -> list[Comparison]:
    """A row for each peer."""
    ours = gateway_side(setting)
    return [
        Comparison(
            peer.name,
            f"REST JSON over {peer.title}",
            at_least(peer.times),
            "req/s",
            ours,
            Side(peer.title, partial(serving, peer, setting.server_cpus)),
            partial(_rate, peer, setting),
        )
        for peer in PEERS
    ]


def _rate(peer: Peer, setting: Setting, server: Server) -> Sample:
    is_ours = server.name == "gateway"
    made = calls.fraud_json(server) if is_ours else call(peer, server)
    load = rest(server.http_port, made, setting.shape(CONNECTIONS))
    return Sample(load.rate, load.failures, load.requests, load.busy)


def environment_variables(bin_folder: Path, port: int, work: str) -> dict[str, str]:
    return {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(HERE),
        "FRAUD_ONNX": str(FRAUD_ONNX.absolute()),
        "PORT": str(port),
        "BENTOML_PORT": str(port),
        "BENTOML_HOME": work,
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }


def _write_mlserver_settings(folder: Path, http_port: int, grpc_port: int, metrics_port: int) -> None:
    """MLServer in its own process, without parallel workers: its faster setting on one core."""
    server = {
        "host": "127.0.0.1",
        "http_port": http_port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        "parallel_workers": 0,
        "debug": False,
        "gzip_enabled": False,
    }
    model = {
        "name": "fraud",
        "implementation": "mlserver_runtime.Fraud",
        "max_batch_size": 64,
        "max_batch_time": 0.002,
    }
    shutil.copy(HERE / "mlserver_runtime.py", folder)
    (folder / "settings.json").write_bytes(msgspec.json.encode(server))
    (folder / "model-settings.json").write_bytes(msgspec.json.encode(model))


def floats(value: object) -> Generator[float]:
    """Every number in a JSON value."""
    match value:
        case dict():
            for one in value.values():
                yield from floats(one)
        case list():
            for one in value:
                yield from floats(one)
        case int() | float():
            yield float(value)


def main() -> int:
    given = run.arguments("peers", [peer.name for peer in PEERS])
    with run.setting(given) as setting:
        return run.perform("peers", run.chosen(comparisons(setting), given.only), given)


if __name__ == "__main__":
    sys.exit(main())
