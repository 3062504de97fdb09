"""A queue whose instances run many batches at the same time; its worker is the test."""

from __future__ import annotations

from math import inf

import msgspec
import pytest

from gateway.core.errors import DeadlineExceeded, GatewayError, ModelFailed, Overloaded
from gateway.core.messages import InferResponse
from gateway.core.model import BatchPolicy, ModelSpec, QueuePolicy
from gateway.scheduling.concurrency import room_of, trouble_of
from gateway.scheduling.pending import Pending
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.scheduling.slot import Slot
from gateway.telemetry.executions import Executions
from gateway.workers.frames import Failure
from tests.fakes.links import FakeEvents, FakeLink
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import doubling_spec, row_request


class Bench:
    """A queue of a model with a concurrency, with one instance."""

    def __init__(self, concurrency: int = 4, policy: BatchPolicy | None = None, size: int = 2) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.poison = PoisonList(600.0)
        spec = msgspec.structs.replace(
            doubling_spec(max_batch_size=size, policy=policy), concurrency=concurrency
        )
        executions = Executions("double", 1, self.clock)
        settings = SchedulingSettings()
        self.queue = ModelQueue(spec, settings, self.loop, self.clock, self.poison, FakeEvents(), executions)
        self.link = FakeLink(1, self.queue)
        self.queue.attach(self.link)
        self.loop.turn()
        self.told: list[InferResponse | GatewayError] = []

    def ask(self, value: float, deadline: float = inf) -> Pending:
        request = row_request(value)
        pending = Pending(request, self.told.append, lambda *_: None, self.clock.now, deadline)
        self.queue.add(pending)
        self.loop.turn()
        return pending


def test_as_many_batches_are_under_way_as_the_model_takes() -> None:
    bench = Bench(concurrency=4)
    for value in range(7):
        bench.ask(float(value))
    assert len(bench.link.sent) == 4
    bench.link.double()
    bench.loop.turn()
    assert [batch.rows for batch in bench.link.sent] == [1, 1, 1, 2]  # what waited goes together
    bench.queue.check()


def test_each_batch_says_how_long_it_may_take() -> None:
    bench = Bench(concurrency=1)
    bench.ask(1.0, deadline=bench.clock.now + 3.0)
    bench.ask(2.0, deadline=bench.clock.now + 1.0)
    bench.ask(3.0, deadline=bench.clock.now + 2.0)
    bench.link.double()
    bench.loop.turn()
    # Of a joined batch the one that may wait longest: the others are answered without it.
    assert [(batch, pytest.approx(left)) for batch, left in [(1, 3.0), (2, 2.0)]] == bench.link.limits


def test_what_nobody_waits_for_is_stopped() -> None:
    bench = Bench()
    gone = bench.ask(1.0)
    bench.ask(2.0)
    bench.ask(3.0, deadline=bench.clock.now + 1.0)
    gone.cancel()
    bench.queue.sweep(bench.clock.now)
    assert bench.link.stopped == [1]
    bench.queue.sweep(bench.clock.now + 1.0)
    assert set(bench.link.stopped) == {1, 3}
    assert isinstance(bench.told[0], DeadlineExceeded)


def test_a_joined_batch_is_stopped_once_all_have_gone() -> None:
    bench = Bench(concurrency=1)
    bench.ask(1.0)
    joined = [bench.ask(2.0), bench.ask(3.0)]
    bench.link.double()
    bench.loop.turn()
    joined[0].cancel()
    bench.queue.sweep(bench.clock.now)
    assert bench.link.stopped == []
    joined[1].cancel()
    bench.queue.sweep(bench.clock.now)
    assert bench.link.stopped == [2]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure.UNAVAILABLE, Overloaded),
        (Failure.TIMED_OUT, DeadlineExceeded),
        (Failure.UPSTREAM_FAILED, ModelFailed),
    ],
)
def test_all_of_a_batch_are_told_and_nothing_runs_twice(failure: Failure, kind: type[GatewayError]) -> None:
    bench = Bench(concurrency=1)
    bench.ask(0.0)
    bench.ask(1.0)
    bench.ask(2.0)
    bench.link.double()
    bench.loop.turn()
    batch = bench.link.sent.pop()
    bench.queue.on_error(bench.link, batch.batch_id, failure, "why", 2.5)
    bench.loop.turn()
    errors = [one for one in bench.told if isinstance(one, GatewayError)]
    assert [type(one) for one in errors] == [kind, kind]
    assert errors[0].text == "why"
    assert errors[0].retry_after_s == (2.5 if failure is Failure.UNAVAILABLE else None)
    assert not bench.link.sent


def test_in_order_all_of_a_batch_are_told_too() -> None:
    bench = Bench(concurrency=1, policy=BatchPolicy(preserve_ordering=True))
    for value in range(3):
        bench.ask(float(value))
    bench.link.double()
    bench.loop.turn()
    batch = bench.link.sent.pop()
    bench.queue.on_error(bench.link, batch.batch_id, Failure.UNAVAILABLE, "why")
    bench.loop.turn()
    assert [type(one) for one in bench.told] == [InferResponse, Overloaded, Overloaded]
    assert bench.told[1].retry_after_s == 1.0


def test_a_worker_that_dies_takes_nobody_along_and_nobody_is_blamed() -> None:
    bench = Bench(concurrency=4)
    for value in range(4):
        bench.ask(float(value))
    for _ in range(2):
        bench.link.die()
        bench.link = FakeLink(1, bench.queue)
        bench.queue.attach(bench.link)
        bench.loop.turn()
    assert len(bench.told) == 4
    assert all(isinstance(one, ModelFailed) for one in bench.told)
    bench.ask(0.0)  # no input is remembered as a poison
    assert len(bench.link.sent) == 1


def test_a_model_is_in_trouble_once_all_its_instances_are() -> None:
    bench = Bench()
    other = FakeLink(2, bench.queue)
    bench.queue.attach(other)
    assert bench.queue.trouble == ""
    bench.queue.on_state(bench.link, "down")
    assert bench.queue.trouble == ""
    bench.queue.on_state(other, "down too")
    assert bench.queue.trouble == "down"
    bench.queue.on_state(bench.link, "")
    assert bench.queue.trouble == ""
    bench.queue.detach(2, lambda: None)
    bench.queue.on_state(other, "of one that has left")
    assert trouble_of([]) == ""
    assert trouble_of([Slot(bench.link)]) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 2),
        ({"decoupled": True}, 1),
        ({"concurrency": 32}, 32),
        ({"batching": BatchPolicy(priority_levels=2, default_priority_level=1)}, 1),
        ({"concurrency": 32, "batching": BatchPolicy(queue_policy=QueuePolicy(max_queue_size=1))}, 32),
    ],
)
def test_how_many_batches_an_instance_may_have(changes: dict[str, object], expected: int) -> None:
    spec: ModelSpec = msgspec.structs.replace(doubling_spec(), **changes)
    assert room_of(spec, 2) == expected
