"""Cold starts beside those of other servers: `python -m tests.bench.serverless.peers`.

Each cycle is one load on a caller's word and the first answer after it, by the V2 protocol's model control
(Triton, MLServer), or the first request to what has gone to zero (Ray Serve). Rounds alternate between the
sides, each with a server of its own; the first cycles of a server are not counted. All on the same cores.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from tests.bench import calls, peers
from tests.bench.bodies import Signature, TensorName, fraud_rows, json_infer
from tests.bench.environments import Missing, environment
from tests.bench.models import write_gateway_repository, write_triton_repository
from tests.bench.servers import DidNotStart, Server, free_ports, gateway, get, running, triton

ROUNDS, CYCLES, UNCOUNTED = 3, 12, 2
CPUS = frozenset(os.sched_getaffinity(0))
_BODY = json_infer(Signature("fraud", (TensorName("features", "FP32", (-1, 30)),), ()), fraud_rows())
_ZERO = "[scaling]\ntick_s = 0.1\nkeep_alive_s = 0.0\n[telemetry]\nflush_s = 0.1\n"


class Side(NamedTuple):
    """A server over a folder, and one cycle on it, which returns the seconds that count."""

    name: str
    serve: Callable[[Path], AbstractContextManager[Server]]
    cycle: Callable[[Server], float]


class Row(NamedTuple):
    """What is compared; ours comes first."""

    title: str
    ours: Side
    theirs: Side


def by_word(server: Server) -> float:
    """Load, and the first answer; then it is unloaded."""
    begun = time.perf_counter()
    ask(server, "/v2/repository/models/fraud/load", b"{}")
    answer = ask(server, "/v2/models/fraud/infer", _BODY)
    seconds = time.perf_counter() - begun
    check(answer)
    ask(server, "/v2/repository/models/fraud/unload", b"{}")
    while get(server.http_port, "/v2/models/fraud/ready")[0] == 200:
        time.sleep(0.02)
    time.sleep(0.3)
    return seconds


def from_zero(server: Server) -> float:
    """The first answer of ours after nobody has called it for a while."""
    while state_of(server) != "absent":
        time.sleep(0.02)
    time.sleep(0.3)
    begun = time.perf_counter()
    answer = ask(server, "/v2/models/fraud/infer", _BODY)
    seconds = time.perf_counter() - begun
    check(answer)
    return seconds


def state_of(server: Server) -> str:
    """ "absent" once the index says that it loads at the first request."""
    index = json.loads(ask(server, "/v2/repository/index", b"{}"))
    (one,) = [entry for entry in index if entry["name"] == "fraud"]
    return "absent" if one.get("reason") == "it loads at the first request" else "there"


def from_no_replica(server: Server) -> float:
    """The same of Ray Serve."""
    while json.loads(get(server.http_port, "/replicas")[1])["replicas"]:
        time.sleep(0.05)
    time.sleep(0.3)
    rows = [[float(str(value)) for value in row] for row in fraud_rows()]
    begun = time.perf_counter()
    answer = ask(server, "/predict", msgspec.json.encode({"data": rows}))
    seconds = time.perf_counter() - begun
    check(answer)
    return seconds


def ask(server: Server, path: str, body: bytes) -> bytes:
    """One POST, which must be answered 200."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=120)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise calls.WrongAnswer(f"{server.name}: {path}: {answer.status} {data[:300]!r}")
        return data
    finally:
        connection.close()


def check(answer: bytes) -> None:
    """The model's own answer is in it; raises WrongAnswer."""
    expected = SCORE
    if not any(abs(value - expected) < 1e-5 for value in peers.floats(msgspec.json.decode(answer))):
        raise calls.WrongAnswer(f"{answer[:300]!r} is not {expected}")


SCORE = calls.fraud_score()


@contextmanager
def ours(work: Path, write: Callable[[Path], None], more: str = "") -> Generator[Server]:
    """Our gateway over a folder of its own."""
    write(work / "models")
    with gateway(work / "models", cpus=CPUS, more=more) as server:
        yield server


@contextmanager
def tritons(work: Path) -> Generator[Server]:
    """Triton, which loads on a caller's word only."""
    write_triton_repository(work / "models")
    with triton(work / "models", cpus=CPUS, more=["--model-control-mode=explicit"]) as server:
        yield server


@contextmanager
def mlserver(work: Path) -> Generator[Server]:
    """MLServer, whose model is there at the start: it is unloaded first."""
    (peer,) = [one for one in peers.PEERS if one.name == "mlserver"]
    with peers.serving(peer, CPUS) as server:
        ask(server, "/v2/repository/models/fraud/unload", b"{}")
        yield server


@contextmanager
def ray_serve(work: Path) -> Generator[Server]:
    """Ray Serve with a deployment that goes to zero."""
    bin_folder, (port,) = environment("ray", "bench-ray") / "bin", free_ports(1)
    shutil.copy(peers.HERE / "ray_zero_server.py", work)
    env = peers.environment_variables(bin_folder, port, str(work))
    command = [str(bin_folder / "python"), "ray_zero_server.py"]
    with running(command, cpus=CPUS, ready=(port, "/replicas"), env=env, cwd=work, timeout_s=180) as process:
        yield Server("Ray Serve", process.pid, port)


NATIVE, PYTHON = partial(ours, write=write_gateway_repository), partial(ours, write=write_triton_repository)
ROWS = (
    Row(
        "load and first answer: Triton's own Python file, against Triton",
        Side("gateway", PYTHON, by_word),
        Side("Triton", tritons, by_word),
    ),
    Row(
        "load and first answer: ONNX, against MLServer (ONNX Runtime in its process)",
        Side("gateway", NATIVE, by_word),
        Side("MLServer", mlserver, by_word),
    ),
    Row(
        "first answer from zero: ONNX, against Ray Serve with min_replicas = 0",
        Side("gateway", partial(ours, write=write_gateway_repository, more=_ZERO), from_zero),
        Side("Ray Serve", ray_serve, from_no_replica),
    ),
)


def measured(side: Side, cycles: int) -> list[float]:
    """The seconds of each counted cycle on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-cold-") as work, side.serve(Path(work)) as server:
        return [side.cycle(server) for _ in range(UNCOUNTED + cycles)][UNCOUNTED:]


def main() -> int:
    """Prints a line a row: their median over ours, and its range over the rounds."""
    for row in ROWS:
        cycles = CYCLES if "zero" not in row.title else CYCLES // 3
        ratios, firsts, seconds = list[float](), list[float](), list[float]()
        try:
            for _ in range(ROUNDS):
                first, second = median(measured(row.ours, cycles)), median(measured(row.theirs, cycles))
                firsts.append(first * 1e3)
                seconds.append(second * 1e3)
                ratios.append(second / first)
        except (Missing, DidNotStart) as error:
            print(f"{row.title}: not measured: {str(error).splitlines()[0]}", flush=True)
            continue
        told = f"{median(ratios):.1f} x ({min(ratios):.1f} ... {max(ratios):.1f})"
        print(f"{row.title}: {told}, {median(firsts):.1f} ms against {median(seconds):.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
