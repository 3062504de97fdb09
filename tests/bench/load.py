"""Load on a server: wrk for REST, h2load for gRPC, our own generator where neither can."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from tests.bench.bodies import GRPC_PATH
from tests.bench.environments import Missing
from tests.bench.outputs import Load, parse_h2load, parse_h2load_log, parse_wrk

JSON_HEADERS: Mapping[str, str] = MappingProxyType({"content-type": "application/json"})
_LUA = Path(__file__).with_name("post.lua")
_INSTALL = {"wrk": "apt-get install wrk", "h2load": "apt-get install nghttp2-client"}


class RestCall(msgspec.Struct, frozen=True):
    """A POST that is sent again and again."""

    path: str
    body: bytes
    headers: Mapping[str, str] = JSON_HEADERS


class GrpcCall(msgspec.Struct, frozen=True):
    """A unary call that is sent again and again; `message` carries gRPC's length prefix.

    `answer_bytes` is the size of a good answer with its prefix: an error carries no data, and that is
    how h2load, which does not read trailers, tells a failed call.
    """

    message: bytes
    answer_bytes: int
    path: str = GRPC_PATH
    headers: Mapping[str, str] = MappingProxyType({})


class Shape(msgspec.Struct, frozen=True):
    """How hard and how long: connections with one request each under way, and on which cores."""

    connections: int = 64
    seconds: float = 5.0
    warm_up_s: float = 2.0
    cpus: frozenset[int] = frozenset({1})


def require(*tools: str) -> None:
    """Raises Missing, with the command that installs it, for the first tool that is not there."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed: {_INSTALL[tool]}")


def rest(port: int, call: RestCall, shape: Shape) -> Load:
    """Closed loop over HTTP/1.1 by wrk; the warm-up's requests are not counted."""
    require("wrk")
    _wrk(port, call, shape, shape.warm_up_s)
    return _wrk(port, call, shape, shape.seconds)


def grpc(port: int, call: GrpcCall, shape: Shape) -> Load:
    """Closed loop over HTTP/2 by h2load, one stream a connection; answers of the wrong size are failures."""
    require("h2load")
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        _h2load(port, call, shape, shape.warm_up_s, Path(folder))
        return _h2load(port, call, shape, shape.seconds, Path(folder))


class Plan(msgspec.Struct, frozen=True):
    """What `python -m tests.bench.generator` reads as JSON on its standard input; it prints a Load.

    `rate` 0 is a closed loop; else requests are due at even intervals and their latency counts from
    when they were due. `unique_metadata` puts a traceparent, a grpc-timeout and a bearer token into
    each gRPC call, none of them used twice within 20,000 calls.
    """

    protocol: str
    port: int
    path: str
    body: bytes
    headers: Mapping[str, str]
    connections: int
    seconds: float
    warm_up_s: float
    rate: float = 0.0
    unique_metadata: bool = False


def generated(plan: Plan, cpus: frozenset[int]) -> Load:
    """Runs our own generator in a process of its own on `cpus`; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "tests.bench.generator"]
    limit_s = plan.seconds + plan.warm_up_s + 60
    answer, busy = _run(command, cpus, limit_s, msgspec.json.encode(plan))
    return msgspec.structs.replace(msgspec.json.decode(answer, type=Load), busy=busy)


def _wrk(port: int, call: RestCall, shape: Shape, seconds: float) -> Load:
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        body = Path(folder) / "body"
        body.write_bytes(call.body)
        command = ["wrk", "-t1", f"-c{shape.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(_LUA)]
        for name, value in call.headers.items():
            command += ["-H", f"{name}: {value}"]
        command += [f"http://127.0.0.1:{port}{call.path}", "--", str(body)]
        answer, busy = _run(command, shape.cpus, seconds + 60)
        return msgspec.structs.replace(parse_wrk(answer), busy=busy)


def _h2load(port: int, call: GrpcCall, shape: Shape, seconds: float, folder: Path) -> Load:
    body, log = folder / "body", folder / "log"
    body.write_bytes(call.message)
    log.unlink(missing_ok=True)
    command = ["h2load", f"-c{shape.connections}", "-m1", "-t1", f"--duration={max(1, round(seconds))}"]
    command += [f"--log-file={log}", f"-d{body}", "-w30", "-W30"]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    for name, value in call.headers.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}{call.path}"]
    answer, busy = _run(command, shape.cpus, seconds + 60)
    load = msgspec.structs.replace(parse_h2load(answer), busy=busy)
    return count_wrong(load, call).with_latencies(parse_h2load_log(log.read_text()))


def count_wrong(load: Load, call: GrpcCall) -> Load:
    """Counts the answers that lack data; those cut off by the end of the run add at most one a connection."""
    good = load.data_bytes // call.answer_bytes
    missing = max(0, load.requests - good)
    return msgspec.structs.replace(load, failures=max(load.failures, missing))


def _run(
    command: Sequence[str], cpus: frozenset[int], limit_s: float, stdin: bytes = b""
) -> tuple[str, float]:
    """What the command printed, and the share of the time that it was on a processor."""
    before, started = _children_cpu_s(), time.monotonic()
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        timeout=limit_s,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    if done.returncode:
        text = (done.stdout + done.stderr)[-4000:].decode(errors="replace")
        raise subprocess.SubprocessError(f"{command[0]} exited {done.returncode}:\n{text}")
    busy = (_children_cpu_s() - before) / (time.monotonic() - started)
    return done.stdout.decode(), busy


def _children_cpu_s() -> float:
    """Processor time of the children waited for so far; servers are waited for only when they stop."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
