"""A queue whose batches a strategy forms: what that is told, when it is asked, and what becomes of faults."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from math import inf

import msgspec
import pytest

from gateway.core.batching import Formed, Observed, Policy, Queued, Strategies, Strategy, broken_rule
from gateway.core.errors import GatewayError, InstanceDied, Overloaded
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.model import BatchPolicy
from gateway.scheduling.pending import Pending
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.scheduling.strategy_room import StrategyRoom, first_come
from gateway.telemetry.executions import Executions
from tests.fakes.links import FakeEvents, FakeLink
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import doubling_spec, row_request

Asked = tuple[float, tuple[Queued, ...], Policy, Observed]


class Scripted:
    """A strategy that remembers what it was told and answers as `answer` does."""

    def __init__(self, answer: Strategy) -> None:
        self.answer = answer
        self.asked: list[Asked] = []

    def __call__(self, now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
        self.asked.append((now, tuple(queued), policy, observed))
        return self.answer(now, queued, policy, observed)


def at_once(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    return first_come(queued, policy, observed)


def after(wait_s: float) -> Strategy:
    """Two share a batch, one alone goes after `wait_s`."""

    def form(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
        due = queued[0].arrived + wait_s
        return Formed((tuple(queued[:2]),)) if len(queued) > 1 or now >= due else Formed((), due)

    return form


class Bench:
    """A queue with a strategy, its clock, and what every caller was told."""

    def __init__(
        self, answer: Strategy, policy: BatchPolicy | None = None, *, concurrency: int = 0, most: int = 64
    ) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.strategy = Scripted(answer)
        policy = msgspec.structs.replace(policy or BatchPolicy(), strategy="scripted")
        spec = msgspec.structs.replace(doubling_spec(policy=policy), concurrency=concurrency)
        self.faults: list[str] = []
        strategies = Strategies({"scripted": self.strategy}, self.faults.append)
        self.room = StrategyRoom(spec, strategies, most)
        settings, poison = SchedulingSettings(), PoisonList(600.0)
        executions = Executions("double", 1, self.clock)
        self.queue = ModelQueue(spec, settings, self.loop, self.clock, poison, FakeEvents(), executions)
        self.queue.wait_in(self.room)
        self.told: dict[float, list[InferResponse | GatewayError]] = {}

    def link(self, worker: int = 1) -> FakeLink:
        link = FakeLink(worker, self.queue)
        self.queue.attach(link)
        self.loop.turn()
        return link

    def ask(self, value: float, request: InferRequest | None = None, deadline: float = inf) -> Pending:
        told = self.told.setdefault(value, [])
        request = request or row_request(value)
        pending = Pending(request, told.append, lambda _, error: None, self.clock.now, deadline)
        self.queue.add(pending)
        return pending

    def reasons(self, value: float) -> list[str]:
        return [one.reason.value if isinstance(one, GatewayError) else "answer" for one in self.told[value]]


def test_it_is_told_what_the_model_says_and_what_waits_in_order() -> None:
    policy = BatchPolicy(
        preferred_sizes=(4,), max_queue_delay_s=0.5, priority_levels=2, default_priority_level=2
    )
    bench = Bench(at_once, msgspec.structs.replace(policy, objective_s=0.02, size=3))
    link = bench.link()
    bench.ask(1.0, row_request(1.0, rows=2), deadline=2000.0)
    bench.ask(2.0, row_request(2.0, priority=1))
    bench.loop.turn()
    ((now, queued, told, observed),) = bench.strategy.asked
    assert now == bench.clock.now
    assert told == Policy(8, (4,), 0.5, 0.02, 3)
    assert [(one.rows, one.deadline, one.priority) for one in queued] == [(1, inf, 1), (2, 2000.0, 2)]
    assert (observed.idle, observed.instances, observed.is_cost_known) == (1, 1, False)
    assert [batch.rows for batch in link.sent] == [3]
    link.double()
    assert bench.reasons(1.0) == bench.reasons(2.0) == ["answer"]


def test_with_the_order_by_deadline_the_earlier_one_goes_first() -> None:
    bench = Bench(at_once, BatchPolicy(by_deadline=True))
    bench.ask(1.0, deadline=3000.0)
    bench.ask(2.0, deadline=2000.0)
    bench.queue.check()
    bench.link()
    assert [one.deadline for one in bench.strategy.asked[0][1]] == [2000.0, 3000.0]


def test_it_is_asked_at_arrivals_at_the_time_it_named_and_when_a_batch_has_ended() -> None:
    bench = Bench(after(0.01))
    link = bench.link()
    assert bench.strategy.asked == [], "nothing waits"
    bench.ask(1.0)
    bench.loop.run_until(1000.009)
    assert (len(bench.strategy.asked), link.sent) == (1, [])
    bench.loop.run_until(1000.010)
    assert (len(bench.strategy.asked), [batch.rows for batch in link.sent]) == (2, [1])
    for value in (2.0, 3.0, 4.0):
        bench.ask(value)
    bench.loop.run_until(1000.015)
    assert len(bench.strategy.asked) == 2, "not while no instance is idle"
    link.double()
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [2]


def test_an_instance_has_one_batch_or_as_many_as_it_runs_at_a_time() -> None:
    for concurrency, batches in ((0, 1), (3, 3)):
        bench = Bench(lambda now, queued, *_: Formed(((queued[0],),)), concurrency=concurrency)
        link = bench.link()
        for value in range(4):
            bench.ask(float(value))
        bench.loop.turn()
        assert len(link.sent) == batches
        assert bench.strategy.asked[0][3].instances == batches


def test_batches_formed_at_once_go_to_as_many_instances() -> None:
    bench = Bench(lambda now, queued, *_: Formed(tuple((one,) for one in queued[:2])))
    links = [bench.link(1), bench.link(2)]
    for value in range(3):
        bench.ask(float(value))
    bench.loop.turn()
    assert [len(link.sent) for link in links] == [1, 1]
    assert len(bench.strategy.asked) == 1
    assert bench.queue.statistics().waiting == 1
    bench.queue.check()


def test_what_batches_cost_and_how_fast_rows_come_is_learned() -> None:
    bench = Bench(at_once)
    link = bench.link()
    for turn in range(40):
        rows = turn % 4 + 1
        bench.ask(float(turn), row_request(1.0, rows=rows))
        bench.loop.turn()
        bench.clock.now += 0.002 * rows + 0.01
        link.double()
    bench.ask(99.0)
    bench.loop.turn()
    observed = bench.strategy.asked[-1][3]
    assert observed.per_row_s == pytest.approx(0.002, rel=0.02)
    assert observed.per_batch_s == pytest.approx(0.01, rel=0.02)
    assert observed.rows_per_s == pytest.approx(100 / 0.6, rel=0.1)
    bench.link(2)
    bench.ask(100.0)
    bench.loop.turn()
    free_at = bench.strategy.asked[-1][3].free_at
    assert free_at == pytest.approx(bench.clock.now + 0.012, rel=1e-6)


BROKEN: dict[str, Strategy] = {
    "raises": lambda *_: 1 / 0,  # type: ignore[dict-item,return-value]
    "none": lambda *_: None,  # type: ignore[dict-item,return-value]
    "twice": lambda now, queued, *_: Formed(((queued[0], queued[0]),)),
    "busy": lambda now, *_: Formed((), now),
    "garbage": lambda *_: Formed(((3,),)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=list(BROKEN))
def test_a_strategy_that_breaks_the_rules_is_counted_and_the_requests_go_in_their_order(
    answer: Strategy, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(answer)
    link = bench.link()
    for value in range(11):
        bench.ask(float(value))
    with caplog.at_level(logging.ERROR):
        bench.loop.turn()
        assert [batch.rows for batch in link.sent] == [8]
        link.double()
        bench.loop.turn()
        link.double()
    assert all(bench.reasons(float(value)) == ["answer"] for value in range(11))
    assert bench.room.faults == 2
    assert bench.faults == ["scripted", "scripted"]
    assert "batching strategy 'scripted' of model double/1" in caplog.text
    bench.queue.check()


def test_the_same_fault_is_logged_ever_more_seldom(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(BROKEN["none"])
    link = bench.link()
    with caplog.at_level(logging.ERROR):
        for value in range(10):
            bench.ask(float(value))
            bench.loop.turn()
            link.double()
    assert bench.room.faults == 10
    assert len(caplog.records) == 4


def test_whoever_has_gone_or_is_late_is_not_given() -> None:
    bench = Bench(at_once)
    bench.ask(1.0).cancel()
    bench.ask(2.0, deadline=1001.0)
    bench.ask(3.0)
    bench.clock.now = 1002.0
    link = bench.link()
    assert [batch.rows for batch in link.sent] == [1]
    assert bench.reasons(2.0) == ["DEADLINE_EXCEEDED"]


def test_whoever_goes_between_two_batches_that_were_formed_does_not_run() -> None:
    bench = Bench(lambda now, queued, *_: Formed(tuple((one,) for one in queued)))
    first, second = bench.ask(1.0), bench.ask(2.0)
    for worker in (1, 2):
        bench.queue.attach(FakeLink(worker, bench.queue))
    assert bench.room.take(bench.clock.now) == ([first], inf)
    second.cancel()
    assert bench.room.take(bench.clock.now) == ([], inf)
    assert bench.room.waiting == 0


def test_a_full_room_refuses_and_forgets_who_has_gone() -> None:
    bench = Bench(at_once, most=2)
    gone = bench.ask(1.0)
    bench.ask(2.0)
    with pytest.raises(Overloaded):
        bench.ask(3.0)
    gone.cancel()
    bench.ask(4.0)
    bench.queue.check()


def test_sweeping_and_failing_all() -> None:
    bench = Bench(at_once)
    bench.ask(1.0, deadline=1001.0)
    bench.ask(2.0)
    bench.clock.now = 1001.0
    bench.queue.sweep(1001.0)
    assert bench.reasons(1.0) == ["DEADLINE_EXCEEDED"]
    assert bench.queue.statistics().waiting == 1
    bench.queue.fail_waiting(InstanceDied("gone"))
    assert bench.reasons(2.0) == ["INSTANCE_DIED"]
    bench.queue.check()


def test_the_members_of_a_dead_worker_run_again() -> None:
    bench = Bench(at_once)
    link = bench.link()
    bench.ask(1.0)
    bench.ask(2.0)
    bench.loop.turn()
    link.die()
    other = bench.link(2)
    assert [batch.rows for batch in other.sent] == [1]
    other.double()
    bench.loop.turn()
    other.double()
    assert bench.reasons(1.0) == bench.reasons(2.0) == ["answer"]


def test_answers_keep_their_order_where_a_model_wants_that() -> None:
    spec = doubling_spec(policy=BatchPolicy(strategy="s", preserve_ordering=True))
    clock = FakeClock()
    loop = FakeLoop(clock)
    settings, executions = SchedulingSettings(), Executions("double", 1, clock)
    queue = ModelQueue(spec, settings, loop, clock, PoisonList(1.0), FakeEvents(), executions)
    one_by_one = Strategies({"s": lambda now, queued, *_: Formed(((queued[0],),))})
    queue.wait_in(StrategyRoom(spec, one_by_one, 8))
    links = [FakeLink(worker, queue) for worker in (1, 2)]
    told: list[int] = []
    for link in links:
        queue.attach(link)
    for number in (1, 2):
        queue.add(Pending(row_request(1.0), lambda _, n=number: told.append(n), lambda *_: None, 1000.0, inf))
    loop.turn()
    links[1].double()
    assert told == []
    links[0].double()
    assert told == [1, 2]


def test_first_come_keeps_the_rules_for_anything_that_waits() -> None:
    chance = random.Random(11)
    for _ in range(500):
        policy = Policy(chance.randint(1, 6))
        queued = [
            Queued(handle, float(handle), chance.randint(1, policy.max_rows), compat=chance.choice("ab"))
            for handle in range(chance.randint(0, 12))
        ]
        observed = Observed(chance.randint(0, 3), 3)
        formed = first_come(queued, policy, observed)
        assert broken_rule(0.0, queued, policy, observed, formed) == ""
        assert bool(formed.batches) is bool(queued and observed.idle)


def test_a_storm_of_requests_answers_each_once() -> None:
    chance = random.Random(5)
    bench = Bench(after(0.003))
    links = [bench.link(1), bench.link(2)]
    for value in range(2000):
        pending = (
            bench.ask(
                float(value),
                row_request(1.0, rows=chance.randint(1, 4)),
                bench.clock.now + chance.choice([0.002, 9.0]),
            )
            if bench.room.waiting < 60
            else None
        )
        if pending is not None and chance.random() < 0.1:
            pending.cancel()
        bench.loop.run_until(bench.clock.now + chance.choice([0.0, 0.0005, 0.004]))
        for link in links:
            if link.sent and chance.random() < 0.6:
                link.refuse() if chance.random() < 0.05 else link.double()
        if chance.random() < 0.1:
            bench.queue.sweep(bench.clock.now)
        bench.queue.check()
    for _ in range(400):
        bench.loop.run_until(bench.clock.now + 0.01)
        for link in links:
            while link.sent:
                link.double()
    assert bench.queue.statistics() == (0, 0, 2)
    assert bench.room.faults == 0
    assert max(len(told) for told in bench.told.values()) == 1
