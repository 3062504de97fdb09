from __future__ import annotations

import os

import msgspec
import pytest

from gateway.cli.bench import BenchError, Plan, run
from tests.cli.bench.servers import ANSWER_PB, GrpcModel, RestServer, grpc_server, model_server

PLAN = Plan(model="fraud", concurrency=4, duration_s=0.4, warmup_s=0.1)


def test_processes_share_the_load_and_their_counts_add_up() -> None:
    seen: list[tuple[int, int]] = []
    with RestServer(model_server) as server:
        plan = msgspec.structs.replace(
            PLAN, url=server.url, requests=101, warmup_s=0.0, processes=2, unique_metadata=True
        )
        result = run(plan, on_progress=lambda *counts: seen.append(counts))
        sent = [request.headers["traceparent"] for request in server.requests if request.method == "POST"]
    assert (result.requests, result.errors) == (101, {})
    assert len(sent) == len(set(sent)) == 102
    assert seen


def test_an_open_loop_over_grpc_on_a_core_of_its_own() -> None:
    core = max(os.sched_getaffinity(0))
    with grpc_server(GrpcModel(lambda message, context: ANSWER_PB)) as url:
        plan = msgspec.structs.replace(
            PLAN,
            url=url,
            protocol="grpc",
            rate=200.0,
            arrivals="poisson",
            connections=8,
            cpus=(core,),
            requests=80,
        )
        result = run(plan)
    assert result.errors == {}
    assert result.mode == "open"
    assert result.requests == 80
    assert result.unsent == 0
    assert 0 < result.generator_cpu < 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpus": (9999,)}, "cannot run on core 9999"),
        ({"concurrency": 0}, "--concurrency"),
        ({"url": "no.such.host.invalid:1"}, "cannot reach"),
    ],
)
def test_what_cannot_be_measured_is_told(changes: dict[str, object], said: str) -> None:
    with RestServer(model_server) as server, pytest.raises(BenchError, match=said):
        run(msgspec.structs.replace(PLAN, **{"url": server.url, **changes}))
