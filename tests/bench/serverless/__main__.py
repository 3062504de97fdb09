"""Prints the table of what many models and little memory must come to; see the package."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from tests.bench.serverless import models, stories
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking

BRISK = {"GATEWAY_SCALING__TICK_S": "0.1", "GATEWAY_TELEMETRY__FLUSH_S": "0.1"}
MIB = 1 << 20
# Requests offered to crowded gateways: a quarter of them are cold starts.
A_SECOND = 100.0


class Figure(NamedTuple):
    """What came out, whether it is enough, and in words."""

    is_reached: bool
    text: str


class Row(NamedTuple):
    """One line of the table; `run` gets an empty folder and a scale from 0 to 1."""

    name: str
    target: str
    run: Callable[[Path, float], Figure]


def private_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().uss)


def register(root: Path, scale: float) -> Figure:
    """10,000 models: how soon the index is there, and what each costs controller and front."""
    count, sizes, seconds = int(10_000 * scale), list[int](), 0.0
    for number, registered in enumerate((1, count)):
        folder = root / str(number)
        models.many(folder, registered)
        begun = time.perf_counter()
        environment = {"GATEWAY_WORKERS__WARM_WORKERS": "0", "GATEWAY_REPOSITORY__POLL_S": "1"}
        with gateway(folder, "--insecure-dev", environment=environment) as served:
            until_blocking(lambda served=served, registered=registered: indexed(served) == registered)  # type: ignore[misc]
            seconds = time.perf_counter() - begun
            time.sleep(3.0)  # a second look, as there will be for ever
            (front,) = served.processes("front")
            sizes.append(private_bytes(served.process.pid) + private_bytes(front.pid))
    a_model = (sizes[1] - sizes[0]) / (count - 1)
    is_reached = seconds < 5.0 and a_model < 20_000
    return Figure(is_reached, f"{count} models: index after {seconds:.2f} s, {a_model:,.0f} bytes a model")


def indexed(served: Gateway) -> int:
    status, index, _ = served.ask("/v2/repository/index", {})
    return len(index) if status == 200 else 0


def cold(root: Path, scale: float) -> Figure:
    """`fraud`-sized cold starts from zero: what is left of them beyond the engine's own time."""
    models.many(root, 1, models.parameter("gateway.keep_alive", "0"))
    beyond, whole = list[float](), list[float]()
    with gateway(root, "--insecure-dev", environment=BRISK) as served:
        for _ in range(int(100 * scale)):
            until_blocking(lambda: not served.processes("gateway-worker"))
            until_blocking(lambda: served.processes("gateway-spare"))
            time.sleep(0.1)
            before = session_s(served)
            (outcome,) = stories.together(served, "m0", 1)
            assert outcome.status == 200, outcome.text
            whole.append(outcome.seconds)
            beyond.append(outcome.seconds - (session_s(served) - before))
    p95 = stories.percentile(beyond, 0.95) * 1e3
    told = f"p95 {p95:.1f} ms beyond the session (median {median(beyond) * 1e3:.1f}), "
    return Figure(p95 < 15.0, f"{told}{stories.percentile(whole, 0.95) * 1e3:.1f} ms in all")


def session_s(served: Gateway) -> float:
    """Seconds that the engine has taken to create sessions, so far."""
    return served.page().get('gateway_cold_start_phase_seconds_sum{model="m0",phase="load",version="1"}', 0.0)


def concurrent(root: Path, scale: float) -> Figure:
    """Many requests at once to one cold model."""
    models.many(root, 1)
    with gateway(root, "--insecure-dev") as served:
        outcomes = stories.together(served, "m0", int(1000 * scale))
        loads = stories.loads_of(served, "m0")
    statuses = dict(stories.statuses(outcomes))
    return Figure(statuses == {200: len(outcomes)} and loads == 1, f"{loads} load, answers {statuses}")


def cycles(root: Path, scale: float) -> Figure:
    """Loads and unloads: the memory of the whole tree before and after."""
    models.many(root, 1)
    with gateway(root, "--insecure-dev") as served:
        before, after = stories.cycles(served, "m0", int(1000 * scale))
    change = after / before - 1
    return Figure(change < 0.05, f"{before / MIB:.1f} MiB before, {after / MIB:.1f} after ({change:+.1%})")


def zero(root: Path, scale: float) -> Figure:
    """To zero and back under 50 requests a second."""
    times = int(100 * scale)
    models.many(root, 1, models.parameter("gateway.keep_alive", "0"))
    with gateway(root, "--insecure-dev", environment=BRISK) as served:
        loads = lambda: stories.loads_of(served, "m0")  # ruff: ignore[lambda-assignment]
        outcomes = stories.probed(served, "m0", 50, lambda: loads() > times, 600.0)
        count = loads()
    failed = [one for one in outcomes if one.status != 200]
    slowest = max(one.seconds for one in outcomes) * 1e3
    told = f"{count} loads, {len(outcomes)} requests, {len(failed)} failed, slowest {slowest:.0f} ms"
    return Figure(not failed and count > times, told)


def switch(root: Path, scale: float) -> Figure:
    """A new version under load."""
    models.versions(root, "m", 1)
    with gateway(root, "--insecure-dev", environment={"GATEWAY_REPOSITORY__POLL_S": "0.2"}) as served:
        found = stories.switched(served, root, "m", 32, 5.0 * scale)
    told = f"{len(found.outcomes)} requests, {len(found.failed)} failed, {len(found.wrong)} wrong, "
    told += f"{len(found.answered_by_the_gone)} by the version that was gone"
    return Figure(not (found.failed or found.wrong or found.answered_by_the_gone), told)


def crowded(root: Path, scale: float, share: str = "gpus") -> Figure:
    """Zipf(1.1) over ten times as many models as there is room for, against a run in which all fit.

    Both get the same number of requests a second, whatever becomes of them: of four clients that each
    wait for their answer, those of the run without misses would ask ten times as often.
    """
    room, count = int(500 * scale), int(6000 * scale) + 600
    models.many(root / "all", room)
    models.many(root / "many", 10 * room)
    limits = {
        "GATEWAY_DEVICES__RESERVE_FRACTION": "0",
        "GATEWAY_MEMORY__MINIMUM_RESIDENCY_S": "0.5",
        "GATEWAY_TELEMETRY__ACCESS_LOG": "true",
        "GATEWAY_SCALING__KEEP_ALIVE_S": "-1",
        "GATEWAY_WORKERS__SHARE": share,
    }
    everything = hits(root / "all", room, count, limits, fill=room)
    a_model = everything.model_bytes
    limited = {**limits, "GATEWAY_DEVICES__HOST_MEMORY_BYTES": str(int(a_model * (room + 2)))}
    some = hits(root / "many", 10 * room, count, limited, fill=room)
    ratio = some.p99_s / everything.p99_s
    told = f"hit p99 {some.p99_s * 1e3:.2f} ms against {everything.p99_s * 1e3:.2f} ({ratio:.2f} x), "
    told += f"{some.cold} of {some.asked} cold, {some.failed} failed, {some.evictions:.0f} put out, "
    return Figure(ratio < 2.0 and not some.failed, f"{told}{a_model / MIB:.1f} MiB a model")


class Hits(NamedTuple):
    """What the access log tells of a run."""

    asked: int
    failed: int
    cold: int
    p99_s: float
    evictions: float
    model_bytes: float


def hits(root: Path, count: int, requests: int, environment: Mapping[str, str], fill: int) -> Hits:
    """Fills the memory by the most popular models, then draws."""
    with gateway(root, "--insecure-dev", environment=environment) as served:
        until_blocking(lambda: indexed(served) == count)
        stories.drawn(served, iter(range(fill)).__next__, fill, 1)
        loaded = served.page()['gateway_model_memory_bytes{device="cpu",stage="loaded"}']
        time.sleep(2.0)
        start = len(served.out.read_bytes())
        outcomes = stories.offered(served, stories.zipf(1, 1.1, count), requests, A_SECOND)
        time.sleep(1.5)
        lines = [
            json.loads(line) for line in served.out.read_bytes()[start:].splitlines() if line[:1] == b"{"
        ]
        evictions = served.page().get('gateway_eviction_unused_seconds_count{device="cpu"}', 0.0)
    seconds = [line["duration_ms"] / 1e3 for line in lines if not line["cold"] and line["outcome"] == "OK"]
    return Hits(
        len(outcomes),
        sum(outcome.status != 200 for _, outcome in outcomes),
        sum(bool(line["cold"]) for line in lines),
        stories.percentile(seconds, 0.99),
        evictions,
        loaded / fill,
    )


ROWS = (
    Row("register", "10,000 models: index < 5 s, < 20 KB a model", register),
    Row("cold", "p95 of a cold start beyond the session < 15 ms", cold),
    Row("crowded", "100 req/s: hit p99 within 2 x of an all-resident run", crowded),
    Row(
        "crowded_shared",
        "the same with workers.share = all: hit p99 within 2 x",
        partial(crowded, share="all"),
    ),
    Row("concurrent", "1,000 requests to a cold model: 1 load, no error", concurrent),
    Row("cycles", "1,000 loads and unloads: memory back within 5 %", cycles),
    Row("zero", "to zero and back 100 times under 50 req/s: none failed", zero),
    Row("switch", "a version switch under load: none failed, none stale", switch),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serverless", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[row.name for row in ROWS], help="these rows")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: a check, no figure")
    given = parser.parse_args()
    missed = []
    for row in ROWS:
        if given.only and row.name not in given.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            figure = row.run(Path(folder), 0.1 if given.quick else 1.0)
        verdict = "reached" if figure.is_reached else "MISSED"
        print(f"{row.name:10s} {verdict:8s} {figure.text}   [{row.target}]", flush=True)
        if not figure.is_reached:
            missed.append(row.name)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
