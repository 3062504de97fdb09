"""Who waits by level: order, sizes and timeouts, as a table, as properties and as a long life."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import DeadlineExceeded, GatewayError, Overloaded, QueueTimeout
from gateway.core.messages import InferResponse
from gateway.core.model import BatchPolicy, QueuePolicy
from gateway.scheduling.levels import Levels
from gateway.scheduling.pending import Pending, Plan
from gateway.workers.plans import Signature
from tests.fakes.specs import row_request

TWO = BatchPolicy(priority_levels=2, default_priority_level=2)


class Bench:
    """Levels, a clock, and what became of every request, by its name."""

    def __init__(self, policy: BatchPolicy, *, max_rows: int = 1, most: int = 100) -> None:
        self.levels = Levels(policy, max_rows, most)
        self.now = 100.0
        self.failed: dict[str, GatewayError] = {}
        self.names: dict[Pending, str] = {}

    def ask(
        self,
        name: str,
        priority: int = 0,
        *,
        rows: int = 1,
        timeout_s: float = inf,
        deadline: float = inf,
        shape: int = 0,
    ) -> Pending:
        request = row_request(1.0, priority=priority, timeout_at=self.now + timeout_s)
        pending = Pending(request, lambda _: None, self._closed(name), self.now, deadline)
        pending.plan = Plan(rows, (0,), Signature((), (0,)), (shape,))
        self.names[pending] = name
        self.levels.add(pending, self.now)
        self.levels.check()
        return pending

    def _closed(self, name: str) -> Callable[[Pending, GatewayError | None], None]:
        def closed(pending: Pending, error: GatewayError | None) -> None:
            assert name not in self.failed
            if error is not None:
                self.failed[name] = error

        return closed

    def take(self) -> list[str]:
        members, _ = self.levels.take(self.now)
        self.levels.check()
        return [self.names[member] for member in members]

    def drain(self) -> list[list[str]]:
        return list(iter(self.take, []))


def test_levels_go_strictly_before_one_another() -> None:
    bench = Bench(TWO)
    for name, priority in (("a", 0), ("b", 2), ("c", 1), ("d", 9), ("e", 1)):
        bench.ask(name, priority)
    assert bench.drain() == [["c"], ["e"], ["a"], ["b"], ["d"]]


def test_a_batch_is_filled_from_the_next_level_but_never_past_one_who_does_not_fit() -> None:
    bench = Bench(TWO, max_rows=4)
    bench.ask("slow", 2)
    bench.ask("urgent", 1, rows=2)
    bench.ask("wide", 1, rows=3)
    bench.ask("other", 1, shape=7)
    assert bench.drain() == [["urgent"], ["wide", "slow"], ["other"]]


def test_each_level_has_its_own_size() -> None:
    policy = BatchPolicy(
        priority_levels=2,
        default_priority_level=1,
        queue_policy=QueuePolicy(max_queue_size=1),
        priority_policies=((2, QueuePolicy(max_queue_size=2)),),
    )
    bench = Bench(policy)
    bench.ask("a", 1)
    bench.ask("b", 2)
    gone = bench.ask("c", 2)
    for priority in (1, 2):
        with pytest.raises(Overloaded, match="Exceeds maximum queue size") as error:
            bench.ask("x", priority)
        assert error.value.retry_after_s == 1.0
    gone.cancel()
    bench.ask("d", 2)
    assert bench.drain() == [["a"], ["b"], ["d"]]


def test_at_the_gateways_bound_the_urgent_push_out_the_last_of_the_least_urgent() -> None:
    bench = Bench(BatchPolicy(priority_levels=3, default_priority_level=3), most=3)
    for name, priority in (("a", 3), ("b", 2), ("c", 3)):
        bench.ask(name, priority)
        bench.now += 1
    bench.ask("d", 2)
    assert list(bench.failed) == ["c"]
    assert isinstance(bench.failed["c"], Overloaded)
    with pytest.raises(Overloaded):
        bench.ask("e", 3)
    bench.ask("f", 1)
    with pytest.raises(Overloaded):
        bench.ask("g", 2)
    assert bench.drain() == [["f"], ["b"], ["d"]]
    assert list(bench.failed) == ["c", "a"]


def test_who_waited_long_enough_is_rejected_and_never_runs() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy(default_timeout_s=1.0, allow_timeout_override=True)))
    bench.ask("default")
    bench.ask("short", timeout_s=0.5)
    bench.ask("long", timeout_s=2.0)
    bench.now += 0.5
    bench.levels.sweep(bench.now)
    assert list(bench.failed) == ["short"]
    bench.now += 0.5
    bench.ask("fresh")
    assert bench.drain() == [["fresh"]]
    assert list(bench.failed) == ["short", "default", "long"]
    for error in bench.failed.values():
        assert isinstance(error, QueueTimeout)
        assert (error.text, error.retry_after_s) == ("Request timeout expired", 1.0)


def test_an_override_that_is_not_allowed_changes_nothing() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy(default_timeout_s=1.0)))
    bench.ask("a", timeout_s=0.1)
    bench.now += 0.9
    assert bench.drain() == [["a"]]


def test_the_delayed_come_after_all_others_of_their_level_and_are_served() -> None:
    policy = BatchPolicy(
        priority_levels=2,
        default_priority_level=1,
        queue_policy=QueuePolicy("delay", default_timeout_s=1.0),
    )
    bench = Bench(policy)
    bench.ask("a")
    bench.ask("low", 2)
    bench.now += 1.0
    bench.ask("b")
    bench.ask("c")
    assert bench.drain() == [["b"], ["c"], ["a"], ["low"]]
    assert not bench.failed


def test_a_delayed_request_still_keeps_its_place_in_the_size_and_its_deadline() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy("delay", default_timeout_s=1.0, max_queue_size=1)))
    bench.ask("a", deadline=105.0)
    bench.now += 2.0
    bench.levels.sweep(bench.now)
    with pytest.raises(Overloaded):
        bench.ask("b")
    bench.now += 3.0
    assert bench.drain() == []
    assert isinstance(bench.failed["a"], DeadlineExceeded)
    bench.ask("c")


def test_a_deadline_comes_before_a_timeout() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy(default_timeout_s=1.0)))
    bench.ask("a", deadline=100.5)
    bench.ask("b", deadline=101.5)
    bench.now = 102.0
    bench.levels.sweep(bench.now)
    assert [type(error) for error in bench.failed.values()] == [DeadlineExceeded, DeadlineExceeded]


def test_waiting_for_company_is_told_when_it_ends() -> None:
    bench = Bench(msgspec.structs.replace(TWO, max_queue_delay_s=0.5), max_rows=4)
    bench.ask("a", 1)
    assert bench.levels.take(bench.now) == ([], 100.5)
    bench.now += 0.5
    bench.ask("b", 2)
    assert bench.take() == ["a", "b"]
    assert bench.levels.take(bench.now) == ([], inf)


def test_those_whose_time_is_over_take_no_place() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy(default_timeout_s=1.0, max_queue_size=1)))
    bench.ask("a")
    bench.now += 1.0
    bench.ask("b")
    assert list(bench.failed) == ["a"]


def test_a_closed_request_leads_no_batch() -> None:
    bench = Bench(TWO, max_rows=4)
    bench.ask("gone", 1, shape=1).cancel()
    bench.ask("low", 2, shape=1)
    bench.ask("urgent", 1, shape=2)
    assert bench.drain() == [["urgent"], ["low"]]


def test_cancelled_ones_are_left_behind() -> None:
    bench = Bench(msgspec.structs.replace(TWO, max_queue_delay_s=0.5), max_rows=4)
    for name in "abc":
        bench.ask(name).cancel()
    assert bench.drain() == []
    assert bench.levels.waiting == 0


def test_failing_all_leaves_nothing() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy(default_timeout_s=1.0)))
    bench.ask("a")
    bench.ask("b", shape=1)
    bench.levels.fail_all(Overloaded("gone"))
    bench.levels.check()
    assert sorted(bench.failed) == ["a", "b"]


def test_memory_of_timeouts_is_that_of_who_waits() -> None:
    bench = Bench(BatchPolicy(queue_policy=QueuePolicy(default_timeout_s=3600.0)))
    for number in range(10_000):
        bench.ask(str(number))
        assert bench.take() == [str(number)]
    assert len(bench.levels._due) < 100


class Asked(msgspec.Struct, frozen=True):
    """One request of a generated history; `after_s` since the one before."""

    priority: int
    rows: int
    shape: int
    after_s: float
    timeout_s: float


ASKED = st.builds(
    Asked,
    priority=st.integers(0, 4),
    rows=st.integers(1, 4),
    shape=st.integers(0, 1),
    after_s=st.sampled_from([0.0, 0.25, 1.0]),
    timeout_s=st.sampled_from([0.5, 2.0, inf]),
)
QUEUES = st.builds(
    QueuePolicy,
    timeout_action=st.sampled_from(["reject", "delay"]),
    default_timeout_s=st.sampled_from([0.0, 1.0]),
    allow_timeout_override=st.booleans(),
    max_queue_size=st.sampled_from([0, 3]),
)


@settings(max_examples=300, deadline=None)
@given(
    history=st.lists(ASKED, max_size=25),
    queues=st.tuples(QUEUES, QUEUES),
    max_rows=st.sampled_from([0, 4]),
    most=st.integers(1, 12),
)
def test_order_bounds_and_expiry(
    history: list[Asked], queues: tuple[QueuePolicy, QueuePolicy], max_rows: int, most: int
) -> None:
    policy = BatchPolicy(
        priority_levels=3,
        default_priority_level=2,
        queue_policy=queues[0],
        priority_policies=((3, queues[1]),),
    )
    bench = Bench(policy, max_rows=max_rows, most=most)
    refused = 0
    for number, asked in enumerate(history):
        bench.now += asked.after_s
        try:
            bench.ask(
                str(number), asked.priority, rows=asked.rows, shape=asked.shape, timeout_s=asked.timeout_s
            )
        except Overloaded:
            refused += 1
        assert bench.levels.waiting <= most
    ends = {name: _end(policy, pending) for pending, name in bench.names.items()}
    left = []
    while members := bench.levels.take(bench.now)[0]:
        assert len(members) == 1 or sum(member.plan.rows for member in members) <= max_rows
        assert len({member.plan.compat for member in members}) == 1
        left.append(members)
    served = [member for members in left for member in members]
    assert len(served) + len(bench.failed) + refused == len(history)
    # By batches: level first, of each level the delayed last, and of equals whoever came first.
    heads = [_rank(policy, members[0], bench.now, ends[bench.names[members[0]]]) for members in left]
    assert [head[:2] for head in heads] == sorted(head[:2] for head in heads)
    for member in served:
        level, is_late, _ = _rank(policy, member, bench.now, ends[bench.names[member]])
        assert not is_late or _queue(policy, level).timeout_action == "delay"
    for shape in (0, 1):
        ranks = [
            _rank(policy, member, bench.now, ends[bench.names[member]])
            for member in served
            if member.plan.compat == (shape,)
        ]
        assert ranks == sorted(ranks)


def _queue(policy: BatchPolicy, level: int) -> QueuePolicy:
    return policy.priority_policies[0][1] if level == 3 else policy.queue_policy


def _level(pending: Pending, levels: int = 3, default: int = 2) -> int:
    return pending.request.priority if 1 <= pending.request.priority <= levels else default


def _end(policy: BatchPolicy, pending: Pending) -> float:
    """When its time in the queue is over, worked out apart from the code under test."""
    queue = _queue(policy, _level(pending))
    if queue.default_timeout_s == 0:
        return inf
    asked = pending.request.timeout_at - pending.arrived if queue.allow_timeout_override else inf
    return pending.arrived + min(asked, queue.default_timeout_s)


def _rank(policy: BatchPolicy, pending: Pending, now: float, end: float) -> tuple[int, bool, float]:
    """What it is ordered by: the delayed in the order in which their time was over."""
    is_late = end <= now
    return _level(pending), is_late, end if is_late else pending.arrived


@pytest.mark.parametrize(
    ("seed", "requests"),
    [(0, 10_000), (1, 10_000), *(pytest.param(seed, 50_000, marks=pytest.mark.soak) for seed in (2, 3))],
)
def test_a_long_life(seed: int, requests: int) -> None:
    """At times more than can be served: nothing runs late, is lost or told twice."""
    rng = random.Random(seed)
    policy = BatchPolicy(
        priority_levels=4,
        default_priority_level=3,
        queue_policy=QueuePolicy("reject", 0.03, allow_timeout_override=True),
        priority_policies=((2, QueuePolicy("delay", 0.02)), (4, QueuePolicy(max_queue_size=8))),
    )
    bench = Bench(policy, max_rows=8, most=16)
    refused, served = 0, 0
    ran_by_level = dict.fromkeys(range(1, 5), 0)
    waiting: list[Pending] = []
    for number in range(requests):
        bench.now += rng.random() * 0.002
        try:
            waiting.append(
                bench.ask(
                    str(number),
                    rng.randrange(6),
                    rows=rng.randint(1, 4),
                    timeout_s=rng.choice([0.005, 0.05, inf]),
                    deadline=bench.now + rng.choice([0.01, 1.0, inf]),
                    shape=rng.randrange(2),
                )
            )
        except Overloaded:
            refused += 1
        chance = rng.random()
        if chance < 0.02 and waiting:
            rng.choice(waiting[-20:]).cancel()
        elif chance < 0.1:
            bench.levels.sweep(bench.now)
        if rng.random() < (0.2 if number // 1000 % 2 else 0.6):  # a rush, and a calm
            members, _ = bench.levels.take(bench.now)
            for member in members:
                served += 1
                level = _level(member, 4, 3)
                ran_by_level[level] += 1
                assert member.is_open
                assert member.deadline > bench.now
                member.answer(InferResponse("double", 1, ()))
                if level in {1, 3}:
                    asked = member.request.timeout_at - member.arrived
                    assert bench.now < member.arrived + min(0.03, asked) + 1e-9
            assert sum(member.plan.rows for member in members) <= 8
        bench.levels.check()
    left = sum(len(members) for members in bench.drain())
    assert refused + served + left + len(bench.failed) == requests
    assert all(ran_by_level.values())
    assert refused
    kinds = {type(error).__name__ for error in bench.failed.values()}
    assert kinds == {"QueueTimeout", "DeadlineExceeded", "Overloaded", "Cancelled"}
