"""The actor, on a loop of its own, before an upstream that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from gateway.core.clock import monotonic_s
from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import BadInput, LoadError, TimedOut, Unavailable, UpstreamFailed
from gateway.runtimes.remote.caller import Caller
from gateway.runtimes.remote.faults import Fault, Kind
from gateway.runtimes.remote.target import Target
from gateway.runtimes.remote.transport import Transport
from tests.fakes.transports import ANSWER, TOLD, FakeTransport
from tests.fakes.waiting import until

TARGET = Target(
    "http",
    "http://a:1",
    False,
    timeout_s=5.0,
    retries=2,
    probe_interval_s=0.01,
    failures_to_open=2,
    open_s=0.05,
)
SPEC = ModelSpec("m", 1, "", "", (TensorSpec("X", DType.FP32, (1,)),), (TensorSpec("Y", DType.FP32, (1,)),))


def caller_of(transport: Transport, target: Target = TARGET, **more: Any) -> Caller:
    return Caller(
        target, transport, more.get("clock", monotonic_s), Random(1), more.get("refresh", lambda: None)
    )


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def tripped(transport: Transport) -> Caller:
    """One whose breaker two requests have opened."""
    caller = caller_of(transport, TARGET._replace(retries=0))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await caller.run("x", [], 3.0)
    assert caller.counts().state == "open"
    return caller


def faults(kind: Kind, count: int = 1) -> list[Fault]:
    return [Fault(kind, "why") for _ in range(count)]


def test_what_was_certainly_not_run_is_sent_again() -> None:
    transport = FakeTransport(*faults(Kind.UNREACHED), *faults(Kind.LIMITED))
    caller = caller_of(transport)
    assert run(caller.run("x", [], 3.0)) is ANSWER
    assert len(transport.attempts) == 3
    assert transport.attempts[0] <= 3.0
    assert transport.attempts[2] < transport.attempts[1] < transport.attempts[0]  # one deadline for all
    assert caller.counts() == ("closed", 1, 2, 0, 0)
    caller.check()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.REJECTED, BadInput),
        (Kind.FAILED, UpstreamFailed),
        (Kind.BROKEN, Unavailable),
        (Kind.MISSING, Unavailable),
        (Kind.UNSOUND, UpstreamFailed),
        (Kind.TIMED_OUT, TimedOut),
    ],
)
def test_what_may_have_run_is_not(kind: Kind, error: type[Exception]) -> None:
    transport = FakeTransport(*faults(kind))
    with pytest.raises(error, match="why"):
        run(caller_of(transport).run("x", [], 3.0))
    assert len(transport.attempts) == 1


def test_nothing_is_sent_again_beyond_the_deadline() -> None:
    transport = FakeTransport(Fault(Kind.SHED, "why", 10.0))
    with pytest.raises(Unavailable) as caught:
        run(caller_of(transport).run("x", [], 3.0))
    assert caught.value.retry_after_s == 10.0
    assert len(transport.attempts) == 1
    with pytest.raises(TimedOut):
        run(caller_of(transport).run("x", [], 0.0))
    assert len(transport.attempts) == 1


def test_an_upstream_that_is_gone_is_not_asked_any_more() -> None:
    transport = FakeTransport(*faults(Kind.UNREACHED, 9))
    caller = caller_of(transport)
    told: list[str] = []
    caller.watch(told.append)
    for _ in range(5):
        with pytest.raises(Unavailable, match="does not answer: why") as caught:
            run(caller.run("x", [], 3.0))
        assert caught.value.retry_after_s > 0
    assert len(transport.attempts) == 2
    assert told == ["why"]
    counts = caller.counts()
    assert (counts.state, counts.trips) == ("open", 1)
    assert counts.refused == 5
    late: list[str] = []
    caller.watch(late.append)
    assert late == ["why"]


def test_a_models_own_errors_shut_nobody_out() -> None:
    transport = FakeTransport(*faults(Kind.REJECTED, 5), *faults(Kind.FAILED, 5))
    caller = caller_of(transport)
    for _ in range(10):
        with pytest.raises((BadInput, UpstreamFailed)):
            run(caller.run("x", [], 3.0))
    assert caller.counts().state == "closed"


def test_a_caller_in_a_hurry_says_nothing_of_the_upstream() -> None:
    transport = FakeTransport(*faults(Kind.TIMED_OUT, 6))
    caller = caller_of(transport)
    for _ in range(4):
        with pytest.raises(TimedOut):
            run(caller.run("x", [], 0.5))
    assert caller.counts().state == "closed"
    for patience_s in (float("inf"), TARGET.timeout_s):
        with pytest.raises(TimedOut):
            run(caller.run("x", [], patience_s))
    assert caller.counts().state == "open"


def test_it_is_asked_how_it_is_and_comes_back() -> None:
    transport = FakeTransport(*faults(Kind.UNREACHED, 2))

    async def live() -> None:
        transport.trouble = Fault(Kind.SHED, "not ready")
        caller = caller_of(transport)
        told: list[str] = []
        caller.watch(told.append)
        asking = asyncio.ensure_future(caller.keep_asking(SPEC))
        await until(lambda: caller.counts().state == "open")
        assert told == ["not ready"]
        probes = transport.probes
        await until(lambda: transport.probes > probes)
        assert caller.counts().state == "open"
        transport.trouble = None
        await until(lambda: caller.counts().state == "half_open")
        assert told[-1] == ""
        transport.outcomes.clear()
        assert await caller.run("x", [], 3.0) is ANSWER
        assert caller.counts().state == "closed"
        caller.check()
        asking.cancel()

    run(live())


def test_half_open_one_request_finds_out_and_the_others_wait() -> None:
    transport = FakeTransport(*faults(Kind.UNREACHED, 2))

    async def live() -> None:
        caller = await tripped(transport)
        asking = asyncio.ensure_future(caller.keep_asking(SPEC))
        await until(lambda: caller.counts().state == "half_open")
        transport.gate = asyncio.Event()
        attempts = len(transport.attempts)
        first = asyncio.ensure_future(caller.run("x", [], 3.0))
        await until(lambda: len(transport.attempts) > attempts)
        with pytest.raises(Unavailable, match="tried"):
            await caller.run("x", [], 3.0)
        first.cancel()
        await asyncio.wait([first])
        assert transport.was_cancelled
        transport.gate.set()
        assert await caller.run("x", [], 3.0) is ANSWER
        assert caller.counts().state == "closed"
        asking.cancel()

    run(live())


def test_an_upstream_that_comes_back_as_another_model_stays_shut_out() -> None:
    transport = FakeTransport(*faults(Kind.UNREACHED, 2))
    transport.told = TOLD._replace(inputs=(TOLD.inputs[0]._replace(dtype=DType.INT8),))

    async def live() -> None:
        caller = await tripped(transport)
        told: list[str] = []
        caller.watch(told.append)
        asking = asyncio.ensure_future(caller.keep_asking(SPEC))
        await until(lambda: "it is not what it was" in told[-1])
        assert caller.counts().state == "open"
        transport.told = TOLD
        await until(lambda: told[-1] == "")
        asking.cancel()

    run(live())


def test_a_token_that_is_gone_leaves_the_old_one_in_use() -> None:
    reads: list[int] = []

    def refresh() -> None:
        reads.append(1)
        raise LoadError("the file is gone")

    async def live() -> None:
        transport = FakeTransport()
        caller = caller_of(transport, refresh=refresh)
        asking = asyncio.ensure_future(caller.keep_asking(SPEC))
        await until(lambda: len(reads) >= 3)
        assert caller.counts().state == "closed"
        asking.cancel()

    run(live())


def test_the_budget_ends_a_storm() -> None:
    """An upstream that sheds everything gets at most a fifth more, however many retries each may have."""
    now = [0.0]
    target = TARGET._replace(failures_to_open=100, retries=1)
    transport = FakeTransport(*faults(Kind.LIMITED, 200))
    caller = caller_of(transport, target, clock=lambda: now[0])

    async def storm() -> None:
        for _ in range(50):
            with pytest.raises(Unavailable):
                await caller.run("x", [], 3.0)

    run(storm())
    assert caller.counts().requests == 50
    assert 10 <= caller.counts().retries <= 3 + 0.2 * 50
