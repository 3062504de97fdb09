"""What to measure: one frozen value that the command line, the harness and the processes share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

Protocol = Literal["rest", "rest-binary", "grpc"]
Arrivals = Literal["constant", "poisson"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|)")
_UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_MODEL = re.compile(r"[A-Za-z0-9_.\-]+(?:/[A-Za-z0-9_.\-]+)*")

MAX_CONNECTIONS = 16_384
OPEN_LOOP_CONNECTIONS = 64


class BenchError(Exception):
    """The measurement cannot be made; `str` says what to change."""


class Target(NamedTuple):
    """Where the server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One load against one model.

    Open loop when `rate` (requests a second, over all processes) is set, else closed loop of
    `concurrency` requests in flight. Ends after `duration_s`, or after exactly `requests` measured
    requests when those are set. What is sent in the first `warmup_s` is not measured. `connections`
    None: one for each `streams` requests of the concurrency, or 64 in the open loop. `deadline_s` is
    sent as grpc-timeout and kept by the client on every protocol; `timeout_s` bounds each request
    without one, and the wait for the last answers. `unique_metadata` makes traceparent, grpc-timeout
    and a bearer token different on every request.
    """

    model: str
    url: str = "127.0.0.1:8000"
    protocol: Protocol = "rest"
    version: str = ""
    concurrency: int = 64
    rate: float | None = None
    arrivals: Arrivals = "constant"
    duration_s: float = 10.0
    requests: int | None = None
    warmup_s: float = 2.0
    connections: int | None = None
    streams: int = 1
    processes: int = 1
    cpus: tuple[int, ...] = ()
    batch: int = 1
    shapes: Mapping[str, tuple[int, ...]] = {}
    data: str | None = None
    deadline_s: float | None = None
    timeout_s: float = 30.0
    headers: tuple[tuple[str, str], ...] = ()
    tokens: tuple[str, ...] = ()
    unique_metadata: bool = False
    check: bool = False
    seed: int = 1

    @property
    def is_open_loop(self) -> bool:
        return self.rate is not None

    @property
    def connection_count(self) -> int:
        if self.connections is not None:
            return self.connections
        if self.rate is not None:
            return max(OPEN_LOOP_CONNECTIONS, self.processes)
        return max(-(-self.concurrency // self.streams), self.processes)

    @property
    def load(self) -> float:
        return float(self.concurrency) if self.rate is None else self.rate


def check_plan(plan: Plan) -> None:
    """Raises BenchError for a plan that contradicts itself."""
    _check_ranges(plan)
    if not _MODEL.fullmatch(plan.model) or ".." in plan.model:
        raise BenchError(f"'{plan.model}' is not a model name")
    if plan.version and not plan.version.isdigit():
        raise BenchError(f"--version: '{plan.version}' is not a positive integer")
    if plan.streams > 1 and plan.protocol != "grpc":
        raise BenchError("--streams: only gRPC carries several requests on one connection")
    for name, value in plan.headers:
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name) or "\r" in value or "\n" in value:
            raise BenchError(f"--header: '{name}' and its value do not make a header")
    if any(not re.fullmatch(r"[\x21-\x7e]+", token) for token in plan.tokens):
        raise BenchError("--token-file: a token is one line of printable ASCII without spaces")


def _check_ranges(plan: Plan) -> None:
    connections = plan.connection_count
    permitted = (
        ("--concurrency", plan.concurrency, 1, 1 << 20),
        ("--rate", 1.0 if plan.rate is None else plan.rate, 1e-3, 1e7),
        ("--duration", plan.duration_s, 1e-3, 86_400.0),
        ("--requests", 1 if plan.requests is None else plan.requests, 1, 1 << 40),
        ("--warmup", plan.warmup_s, 0.0, 86_400.0),
        ("--connections", connections, 1, MAX_CONNECTIONS),
        ("--streams", plan.streams, 1, 1 << 16),
        ("--processes", plan.processes, 1, 1024),
        ("--batch", plan.batch, 1, 1 << 24),
        ("--deadline", 1.0 if plan.deadline_s is None else plan.deadline_s, 1e-3, 86_400.0),
        ("--timeout", plan.timeout_s, 1e-3, 86_400.0),
    )
    for name, value, least, most in permitted:
        if not least <= value <= most:
            raise BenchError(f"{name}: {value:g} is not between {least:g} and {most:g}")
    if connections < plan.processes:
        raise BenchError(f"--connections: {connections} cannot be shared by {plan.processes} processes")
    if plan.rate is None and plan.concurrency < connections:
        raise BenchError(f"--connections: {connections} is more than the concurrency {plan.concurrency}")
    if plan.rate is None and plan.concurrency > connections * plan.streams:
        raise BenchError(
            f"--connections: {connections} with --streams {plan.streams} carry at most "
            f"{connections * plan.streams} requests, not {plan.concurrency}"
        )


def parse_duration(text: str) -> float:
    """Seconds of "10s", "100ms", "250us", "2m", "1h" or a bare number of seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise BenchError(f"'{text}' is not a duration: write 10s, 100ms, 250us, 2m or 1h")
    return float(found[1]) * _UNIT_S[found[2]]


def parse_url(text: str) -> Target:
    """The target of "host:port", "http://host:port" or "[::1]:port"."""
    found = re.fullmatch(r"(?:(?:http|grpc)://)?(\[[0-9A-Fa-f:.]+\]|[^\[\]/:@\s]+):(\d{1,5})/?", text)
    if found is None or not 0 < int(found[2]) < 65_536:
        raise BenchError(f"--url: '{text}' is not host:port (TLS is not spoken here)")
    return Target(found[1].strip("[]"), int(found[2]))


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """The name and dimensions of "NAME:1,30"; "NAME:" is a scalar."""
    name, colon, dims = text.rpartition(":")
    if not colon or not name or not re.fullmatch(r"(?:\d+(?:,\d+)*)?", dims):
        raise BenchError(f"--shape: '{text}' is not NAME:1,30")
    return name, tuple(int(dim) for dim in dims.split(",") if dim)


def parse_cpus(text: str) -> tuple[int, ...]:
    """The cores of "1", "0,2" or "4-7", in that order."""
    cores: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if found is None or (found[2] is not None and int(found[2]) < int(found[1])):
            raise BenchError(f"--cpus: '{text}' is not a list such as 1, 0,2 or 4-7")
        cores.extend(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(cores)


def parse_header(text: str) -> tuple[str, str]:
    """The name (lower case) and value of "name: value"."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise BenchError(f"--header: '{text}' is not name:value")
    return name.strip().lower(), value.strip()


def parse_sweep(text: str) -> tuple[float, ...]:
    """The loads of "1,2,4": positive, ascending."""
    try:
        loads = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BenchError(f"--sweep: '{text}' is not a list such as 1,2,4") from None
    if list(loads) != sorted(set(loads)) or loads[0] <= 0:
        raise BenchError("--sweep: the loads must be positive and ascending")
    return loads
