"""One process's loop against servers that stall, fail, close and come back; everything in this process."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable

import grpc
import msgspec
import pytest

from gateway.cli.bench.engine import Engine
from gateway.cli.bench.job import make_dialogue
from gateway.cli.bench.load import Share
from gateway.cli.bench.plan import BenchError, Plan, parse_url
from gateway.cli.bench.preparing import prepare
from gateway.cli.bench.rest import RestDialogue, RestRequest
from gateway.cli.bench.result import Result, summarise
from gateway.core.clock import monotonic_s
from tests.cli.bench.servers import (
    ANSWER,
    ANSWER_PB,
    GrpcModel,
    Request,
    RestServer,
    grpc_server,
    http,
    model_server,
)


def _nothing(succeeded: int, failed: int) -> None:
    assert succeeded >= 0
    assert failed >= 0


def _run(url: str, plan: Plan, before: Callable[[], None] = lambda: None) -> Result:
    plan = msgspec.structs.replace(plan, url=url)
    call = prepare(plan, monotonic_s).call
    target = parse_url(url)
    serial = itertools.count(1)
    engine = Engine(
        plan,
        Share(0, 1),
        (socket.AF_INET, (target.host, target.port)),
        lambda: make_dialogue(plan, call, seed=next(serial), keep_bodies=plan.check),
        monotonic_s,
    )
    try:
        engine.connect(5.0)
        before()
        return summarise(plan, [engine.run(monotonic_s(), _nothing)])
    finally:
        engine.close()


PLAN = Plan(model="fraud", concurrency=4, duration_s=0.3, warmup_s=0.0, timeout_s=5.0)


def test_a_closed_loop_keeps_its_concurrency_and_counts() -> None:
    with RestServer(model_server) as server:
        # A machine that stalls for a third of the time loses what was in flight: not three times in a row.
        for _ in range(3):
            result = _run(server.url, PLAN)
            in_flight = result.rate * result.latency.mean_ms / 1e3
            if in_flight > 3:
                break
    assert result.failed == 0
    assert result.requests > 0
    assert result.rate == pytest.approx(result.requests / 0.3)
    assert (
        0 < result.latency.min_ms <= result.latency.p50_ms <= result.latency.p999_ms <= result.latency.max_ms
    )
    assert result.sent_bytes_per_s > result.rate * 300
    assert (result.mode, result.load, result.unsent, result.late) == ("closed", 4.0, 0, 0)
    # By Little's law the requests in flight are the rate times the mean latency.
    assert in_flight == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("rate", [None, 2000.0])
def test_a_number_of_requests_is_met_exactly(rate: float | None) -> None:
    with RestServer(model_server) as server:
        result = _run(server.url, msgspec.structs.replace(PLAN, requests=101, rate=rate))
        assert result.requests == 101
        assert len(server.requests) == 101 + 2  # metadata and the first try
    assert result.errors == {}


def test_warm_up_requests_are_sent_and_not_counted() -> None:
    with RestServer(model_server) as server:
        result = _run(server.url, msgspec.structs.replace(PLAN, requests=10, warmup_s=0.1))
        assert len(server.requests) > 12
    assert result.requests == 10


class Stalling:
    """Answers until told to stall, and again once released."""

    def __init__(self, stall_after: int) -> None:
        self.left = stall_after
        self.released = threading.Event()
        self.stalled_ms = 0.0

    def __call__(self, request: Request) -> bytes:
        self.left -= 1
        if self.left == 0:
            began = monotonic_s()
            assert self.released.wait(30)
            self.stalled_ms = (monotonic_s() - began) * 1e3
        return model_server(request)


def test_an_open_loop_counts_from_when_a_request_was_due_through_a_stall() -> None:
    """300 ms of silence at 500/s: some 150 requests were due in it, and must all be seen to have waited."""
    stalling = Stalling(stall_after=52)
    plan = msgspec.structs.replace(PLAN, rate=500.0, connections=4, requests=400)
    timer = threading.Timer(0.4, stalling.released.set)
    with RestServer(stalling) as server:
        result = _run(server.url, plan, timer.start)
    timer.join()
    assert (result.requests, result.failed, result.unsent) == (400, 0, 0)
    # Due evenly over the stall: with d of it left a request waits at least d. A generator that waits for
    # its answers would have seen four slow requests in 400, and its p90 would know nothing.
    due = stalling.stalled_ms * 0.5
    assert due > 50
    assert result.latency.max_ms > stalling.stalled_ms * 0.98
    assert result.late > due * 0.9
    assert result.lag_p99_ms > due
    assert result.latency.p90_ms > stalling.stalled_ms * (1 - 40 / due) * 0.9


def test_what_could_not_be_sent_in_time_is_told() -> None:
    stalling = Stalling(stall_after=3)
    plan = msgspec.structs.replace(PLAN, rate=200.0, connections=1, duration_s=0.5)
    timer = threading.Timer(0.8, stalling.released.set)
    with RestServer(stalling) as server:
        result = _run(server.url, plan, timer.start)
    timer.join()
    assert result.requests == 1
    assert result.unsent == 99


@pytest.mark.parametrize(("deadline_s", "kind"), [(None, "timeout"), (0.1, "deadline")])
def test_silence_ends_in_a_failure(deadline_s: float | None, kind: str) -> None:
    answers = itertools.count()

    def silent(request: Request) -> bytes | None:
        return model_server(request) if next(answers) < 2 else None

    plan = msgspec.structs.replace(PLAN, deadline_s=deadline_s, timeout_s=0.1, requests=4)
    with RestServer(silent) as server:
        result = _run(server.url, plan)
    assert result.errors == {kind: 4}
    assert result.requests == 0
    assert result.duration_s == pytest.approx(0.1, abs=0.1)


def test_an_answer_after_the_deadline_is_a_failure() -> None:
    def slow(request: Request) -> bytes:
        if request.method == "POST":
            threading.Event().wait(0.03)
        return model_server(request)

    plan = msgspec.structs.replace(PLAN, concurrency=1, requests=3, deadline_s=0.02)
    with RestServer(slow) as server:
        result = _run(server.url, msgspec.structs.replace(plan, timeout_s=5.0))
    assert result.errors == {"deadline": 3}


def test_failures_are_counted_by_status_with_an_example() -> None:
    answers = itertools.count()

    def sometimes(request: Request) -> bytes:
        return http(b'{"error":"full"}', "503 Busy") if next(answers) % 4 == 3 else model_server(request)

    with RestServer(sometimes) as server:
        result = _run(server.url, msgspec.structs.replace(PLAN, requests=40))
    assert result.errors == {"http 503": 10}
    assert result.examples == {"http 503": '{"error":"full"}'}
    assert result.requests == 30


def test_connections_that_the_server_closes_are_opened_again() -> None:
    def once(request: Request) -> bytes:
        return (
            http(ANSWER, "200 OK", "connection: close") if request.method == "POST" else model_server(request)
        )

    with RestServer(once) as server:
        result = _run(server.url, msgspec.structs.replace(PLAN, requests=20))
    assert (result.requests, result.errors) == (20, {})
    assert result.reconnects >= 16


def test_a_server_that_goes_away_fails_requests_and_does_not_hang() -> None:
    server = RestServer(model_server)
    with server:
        url = server.url
        stop = threading.Timer(0.2, lambda: server._call(server._close()))
        result = _run(url, msgspec.structs.replace(PLAN, duration_s=0.6), stop.start)
        stop.join()
    assert result.requests > 0
    assert result.errors["connect"] >= 4
    assert result.failed < 200  # with a pause between attempts


def test_bodies_that_differ_are_found() -> None:
    answers = itertools.count()

    def unsteady(request: Request) -> bytes:
        if request.method == "GET":
            return model_server(request)
        return http(b"odd" if next(answers) == 5 else ANSWER)

    with RestServer(unsteady) as server:
        result = _run(server.url, msgspec.structs.replace(PLAN, requests=20, check=True))
    assert result.errors == {"mismatch": 1}


def test_a_refused_connection_is_an_error_before_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    request = RestRequest(b"", b"")
    engine = Engine(PLAN, Share(0, 1), (socket.AF_INET, address), lambda: RestDialogue(request), monotonic_s)
    with pytest.raises(BenchError, match="cannot connect: Connection refused"):
        engine.connect(5.0)
    engine.close()


GRPC = msgspec.structs.replace(PLAN, protocol="grpc")


@pytest.mark.parametrize("streams", [1, 4])
def test_grpc_against_the_official_server(streams: int) -> None:
    model = GrpcModel(lambda message, context: ANSWER_PB)
    with grpc_server(model) as url:
        plan = msgspec.structs.replace(GRPC, requests=200, streams=streams, check=True, deadline_s=5.0)
        result = _run(url, plan)
    assert (result.requests, result.errors) == (200, {})
    assert len(set(model.messages)) == 1
    assert all(3 < left <= 5 for left in model.remaining_s)


def test_grpc_with_metadata_that_changes() -> None:
    model = GrpcModel(lambda message, context: ANSWER_PB)
    with grpc_server(model) as url:
        result = _run(url, msgspec.structs.replace(GRPC, requests=50, unique_metadata=True))
    assert (result.requests, result.errors) == (50, {})
    assert len({fields["traceparent"] for fields in model.metadata}) == 51
    assert len({fields["authorization"] for fields in model.metadata}) == 51


def test_grpc_statuses_are_counted() -> None:
    calls = itertools.count()

    def failing(message: bytes, context: grpc.ServicerContext) -> bytes:
        if next(calls) % 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "zu voll: é")
        return ANSWER_PB

    with grpc_server(GrpcModel(failing)) as url:
        result = _run(url, msgspec.structs.replace(GRPC, requests=20, concurrency=1))
    assert result.errors == {"grpc 8 RESOURCE_EXHAUSTED": 10}
    assert result.examples == {"grpc 8 RESOURCE_EXHAUSTED": "zu voll: é"}


def test_connections_that_grpc_recycles_cost_no_request() -> None:
    model = GrpcModel(lambda message, context: ANSWER_PB)
    with grpc_server(model, max_connection_age_ms=150, max_connection_age_grace_ms=2000) as url:
        result = _run(url, msgspec.structs.replace(GRPC, duration_s=1.0))
    assert result.errors == {}
    assert result.reconnects >= 4


def test_large_messages_both_ways() -> None:
    model = GrpcModel(lambda message, context: bytes(4 << 20))
    with grpc_server(model) as url:
        plan = msgspec.structs.replace(GRPC, requests=6, concurrency=2, batch=40_000)
        result = _run(url, plan)
    assert (result.requests, result.errors) == (6, {})
    assert {len(message) for message in model.messages} == {len(model.messages[0])}
    assert len(model.messages[0]) > 40_000 * 30 * 4


def test_more_streams_than_the_server_takes_is_an_error() -> None:
    model = GrpcModel(lambda message, context: ANSWER_PB)
    too_many = msgspec.structs.replace(GRPC, streams=4)
    with (
        grpc_server(model, max_concurrent_streams=2) as url,
        pytest.raises(BenchError, match="takes 2 at once"),
    ):
        _run(url, too_many)
