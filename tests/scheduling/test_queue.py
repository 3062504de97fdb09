import random
from math import inf

import msgspec
import numpy as np
import pytest

from gateway.core.errors import GatewayError, InvalidInput, ModelFailed, Overloaded, Reason
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.model import BatchPolicy, QueuePolicy
from gateway.scheduling.pending import Pending, PendingStream
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from tests.fakes.links import FakeEvents, FakeLink
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import CountedLease, KeptStream, doubling_spec, row_request


class Bench:
    """A queue, its clock, and what every caller was told."""

    def __init__(
        self,
        *,
        policy: BatchPolicy | None = None,
        max_batch_size: int = 8,
        decoupled: bool = False,
        **settings: int,
    ) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.poison = PoisonList(600.0)
        self.events = FakeEvents()
        self.executions = Executions("double", 1, self.clock)
        self.queue = ModelQueue(
            msgspec.structs.replace(
                doubling_spec(max_batch_size=max_batch_size, policy=policy), decoupled=decoupled
            ),
            SchedulingSettings(**settings),
            self.loop,
            self.clock,
            self.poison,
            self.events,
            self.executions,
        )
        self.told: dict[float, list[InferResponse | GatewayError]] = {}
        self.records: list[GatewayError | None] = []

    def link(self, worker: int = 1) -> FakeLink:
        link = FakeLink(worker, self.queue)
        self.queue.attach(link)
        self.loop.turn()
        return link

    def ask(self, value: float, *, request: InferRequest | None = None, deadline: float = inf) -> Pending:
        told = self.told.setdefault(value, [])
        pending = Pending(
            request or row_request(value),
            told.append,
            lambda _, error: self.records.append(error),
            self.clock.now,
            deadline,
        )
        self.queue.add(pending)
        return pending

    def answers(self, value: float) -> list[float | str]:
        """What the caller of `value` got: the first element of the output, or the reason."""
        return [
            answer.reason.value
            if isinstance(answer, GatewayError)
            else float(np.frombuffer(answer.outputs[0].data, "<f4")[0])
            for answer in self.told[value]
        ]


def test_a_lone_request_goes_at_once() -> None:
    bench = Bench()
    link = bench.link()
    bench.ask(3.0)
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [1]
    link.double()
    assert bench.answers(3.0) == [6.0]


def test_requests_of_one_turn_share_a_batch_and_the_rest_waits_for_an_answer() -> None:
    bench = Bench(batches_in_flight=1)
    link = bench.link()
    for value in range(11):
        bench.ask(float(value))
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [8]
    link.double()
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [3]
    link.double()
    assert [bench.answers(float(value)) for value in range(11)] == [[2.0 * value] for value in range(11)]


def test_batches_are_counted_and_what_nobody_waited_for_is_no_answer() -> None:
    bench = Bench()
    link = bench.link()
    gone = [bench.ask(float(value), request=row_request(float(value), rows=2)) for value in range(3)][1]
    bench.loop.turn()
    gone.cancel()
    link.double()
    bench.ask(3.0).cancel()  # before it was sent: it runs nowhere
    bench.ask(4.0)
    bench.loop.turn()
    link.double()
    alone = bench.ask(5.0)
    bench.loop.turn()
    alone.cancel()
    link.double()
    (part,) = bench.executions.parts()
    assert {size: (sums.count, sums.infer_ns) for size, sums in part.batches.items()} == {
        6: (1, 5000),
        1: (2, 10000),
    }
    assert (part.dropped_rows, part.shared_infer_ns) == (3, 0), "three answers of 5000 ns, in three batches"
    assert part.last_s == bench.clock.now


def test_a_batch_that_was_refused_is_none() -> None:
    bench = Bench()
    link = bench.link()
    bench.ask(1.0)
    bench.loop.turn()
    link.refuse()
    assert bench.answers(1.0) == ["MODEL_FAILED"]
    assert not bench.executions.is_changed


def test_rows_are_counted_not_requests() -> None:
    bench = Bench()
    link = bench.link()
    for value, rows in ((1.0, 3), (2.0, 3), (3.0, 3)):
        bench.ask(value, request=row_request(value, rows=rows))
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [6, 3]


def test_several_instances_share_the_load() -> None:
    bench = Bench(batches_in_flight=1)
    links = [bench.link(1), bench.link(2)]
    for value in range(16):
        bench.ask(float(value))
    bench.loop.turn()
    assert [len(link.sent) for link in links] == [1, 1]


def test_waiting_for_company_ends_when_the_delay_is_over() -> None:
    bench = Bench(policy=BatchPolicy(max_queue_delay_s=0.01))
    link = bench.link()
    bench.ask(1.0)
    bench.loop.turn()
    assert link.sent == []
    bench.loop.run_until(bench.clock.now + 0.005)
    bench.ask(2.0)
    bench.loop.run_until(bench.clock.now + 0.006)
    assert [batch.rows for batch in link.sent] == [2]


def test_without_a_batch_axis_each_runs_alone() -> None:
    bench = Bench(max_batch_size=0)
    link = bench.link()
    for value in (1.0, 2.0):
        request = row_request(value)
        flat = InferRequest("double", 0, (type(request.inputs[0])("x", 11, (2,), request.inputs[0].data),))
        bench.ask(value, request=flat)
    bench.loop.turn()
    assert [batch.signature.inputs[0][1] for batch in link.sent] == [(2,), (2,)]


def test_a_raising_batch_is_halved_until_the_culprit_is_alone() -> None:
    bench = Bench(batches_in_flight=1)
    link = bench.link()
    for value in range(8):
        bench.ask(float(value))
    runs = 0
    bench.loop.turn()
    while link.sent:
        runs += 1
        values = np.frombuffer(link.sent[0].inputs[0], "<f4")
        if 5.0 in values:
            link.refuse()
        else:
            link.double()
        bench.loop.turn()
    assert bench.answers(5.0) == ["MODEL_FAILED"]
    for value in {0, 1, 2, 3, 4, 6, 7}:
        assert bench.answers(float(value)) == [2.0 * value]
    assert runs <= 1 + 2 * 3


def test_a_death_reruns_the_running_batch_one_by_one_and_the_next_as_it_was() -> None:
    bench = Bench()
    link = bench.link()
    for value in range(8):
        bench.ask(float(value))
    bench.loop.turn()
    bench.ask(8.0)
    bench.ask(9.0)
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [8, 2]
    link.die()
    successor = bench.link(2)
    rows = []
    while successor.sent:
        rows.append(successor.double().rows)
        bench.loop.turn()
    assert rows == [1] * 8 + [2]
    assert all(bench.answers(float(value)) == [2.0 * value] for value in range(10))


def test_an_input_that_kills_twice_is_refused_and_remembered() -> None:
    bench = Bench()
    bench.ask(13.0)
    for worker in (1, 2):
        link = bench.link(worker)
        assert len(link.sent) == 1
        link.die()
        bench.loop.turn()
    assert bench.answers(13.0) == ["MODEL_FAILED"]
    with pytest.raises(ModelFailed, match="refused for a while"):
        bench.ask(13.0)
    bench.ask(1.0)


def test_expired_and_cancelled_requests_leave_the_queue() -> None:
    bench = Bench(max_queue_requests=3)
    bench.ask(1.0, deadline=bench.clock.now + 1.0)
    cancelled = bench.ask(2.0)
    bench.ask(3.0)
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        bench.ask(4.0)
    cancelled.cancel()
    bench.ask(4.0)
    bench.clock.now += 2.0
    bench.queue.sweep(bench.clock.now)
    bench.queue.check()
    assert bench.answers(1.0) == ["DEADLINE_EXCEEDED"]
    link = bench.link()
    assert [batch.rows for batch in link.sent] == [2]
    assert bench.answers(2.0) == []


def test_a_deadline_in_the_worker_is_told_at_once_and_the_late_answer_dropped() -> None:
    bench = Bench()
    link = bench.link()
    lease = CountedLease()
    bench.ask(1.0, request=row_request(1.0, lease=lease), deadline=bench.clock.now + 1.0)
    bench.loop.turn()
    bench.clock.now += 1.5
    bench.queue.sweep(bench.clock.now)
    assert bench.answers(1.0) == ["DEADLINE_EXCEEDED"]
    assert lease.holds == 1, "the worker may still read the input"
    link.double()
    assert bench.answers(1.0) == ["DEADLINE_EXCEEDED"]
    assert lease.holds == 0


def test_detaching_waits_for_the_batches_under_way() -> None:
    bench = Bench()
    link = bench.link()
    bench.ask(1.0)
    bench.loop.turn()
    idle: list[int] = []
    bench.queue.detach(1, lambda: idle.append(1))
    assert not bench.queue.has_instances
    bench.ask(2.0)
    bench.loop.turn()
    assert len(link.sent) == 1
    assert idle == []
    link.double()
    assert idle == [1]
    bench.queue.detach(7, lambda: idle.append(7))
    assert idle == [1, 7], "an instance that is not there is idle"


def test_failing_those_who_wait_leaves_those_who_run() -> None:
    bench = Bench(batches_in_flight=1, max_queue_requests=10)
    link = bench.link()
    bench.ask(1.0)
    bench.loop.turn()
    bench.ask(2.0)
    bench.queue.fail_waiting(Overloaded("gone"))
    link.double()
    assert bench.answers(1.0) == [2.0]
    assert bench.answers(2.0) == ["OVERLOADED"]
    bench.queue.check()


def test_bad_input_is_refused_before_it_waits() -> None:
    bench = Bench()
    with pytest.raises(InvalidInput):
        bench.ask(1.0, request=row_request(1.0, width=3))
    assert bench.queue.statistics().waiting == 0


# Short lives always, long ones where there is time for them.
LIVES = pytest.mark.parametrize(
    ("seed", "requests"),
    [(0, 10_000), (1, 10_000), *(pytest.param(seed, 50_000, marks=pytest.mark.soak) for seed in (2, 3))],
)


@LIVES
def test_a_long_life_ends_each_request_once_with_its_own_answer(seed: int, requests: int) -> None:
    """Random rows, deaths, errors, cancels, deadlines, instances."""
    rng = random.Random(seed)
    bench = Bench(max_queue_requests=64)
    links: dict[int, FakeLink] = {}
    workers = 0
    asked: list[Pending] = []
    leases: list[CountedLease] = []
    for step in range(requests):
        bench.clock.now += rng.random() * 0.001
        if len(links) < 2 and rng.random() < 0.2:
            workers += 1
            links[workers] = bench.link(workers)
        lease = CountedLease()
        try:
            asked.append(
                bench.ask(
                    float(step),
                    request=row_request(float(step), rows=rng.randint(1, 4), lease=lease),
                    deadline=bench.clock.now + rng.choice([0.002, 1.0, inf]),
                )
            )
            leases.append(lease)
        except Overloaded:
            del bench.told[float(step)]
        event = rng.random()
        if event < 0.05 and asked:
            rng.choice(asked[-50:]).cancel()
        elif event < 0.07:
            bench.queue.sweep(bench.clock.now)
        bench.loop.turn()
        for worker, link in list(links.items()):
            fate = rng.random()
            if fate < 0.002:
                link.die()
                del links[worker]
            elif fate < 0.01 and link.sent:
                link.refuse()
            elif fate < 0.7 and link.sent:
                link.double()
        bench.loop.turn()
        bench.queue.check()
    links[0] = bench.link(0)
    for _ in range(100_000):
        if not any(link.sent for link in links.values()):
            break
        for link in links.values():
            if link.sent:
                link.double()
        bench.loop.turn()
    assert bench.queue.statistics()[:2] == (0, 0)
    assert len(bench.records) == len(asked), "one record a request"
    assert not any(pending.is_open for pending in asked)
    assert all(lease.holds == 0 for lease in leases)
    for value, answers in bench.told.items():
        assert len(answers) <= 1
        for answer in bench.answers(value):
            assert answer == 2.0 * value or answer in {Reason.DEADLINE_EXCEEDED.value, "MODEL_FAILED"}


LEVELS = BatchPolicy(priority_levels=2, default_priority_level=2)


def prioritised(value: float, priority: int, timeout_at: float = inf) -> InferRequest:
    return row_request(value, priority=priority, timeout_at=timeout_at)


def test_an_urgent_request_overtakes_those_who_wait() -> None:
    bench = Bench(policy=LEVELS, max_batch_size=1)
    link = bench.link()
    for value, priority in ((1.0, 2), (2.0, 0), (3.0, 1)):
        bench.ask(value, request=prioritised(value, priority))
        bench.loop.turn()
    order = []
    while link.sent:
        assert len(link.sent) == 1, "what lies ready in a worker could not be overtaken"
        order.append(np.frombuffer(link.sent[0].inputs[0], "<f4")[0])
        link.double()
        bench.loop.turn()
        bench.queue.check()
    assert order == [1.0, 3.0, 2.0]


def test_a_queue_policy_refuses_and_times_out() -> None:
    bench = Bench(policy=BatchPolicy(queue_policy=QueuePolicy("reject", 1.0, max_queue_size=1)))
    bench.ask(1.0)
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        bench.ask(2.0)
    bench.clock.now += 1.0
    bench.queue.sweep(bench.clock.now)
    bench.queue.check()
    assert bench.answers(1.0) == ["QUEUE_TIMEOUT"]
    assert bench.queue.statistics().waiting == 0
    bench.ask(3.0)
    bench.queue.fail_waiting(Overloaded("gone"))
    bench.queue.check()
    assert bench.answers(3.0) == ["OVERLOADED"]


def test_with_levels_company_is_waited_for_and_poison_refused() -> None:
    bench = Bench(policy=msgspec.structs.replace(LEVELS, max_queue_delay_s=0.01))
    link = bench.link()
    bench.ask(1.0)
    bench.loop.turn()
    assert not link.sent
    bench.loop.run_until(bench.clock.now + 0.011)
    assert [batch.rows for batch in link.sent] == [1]
    bench.poison.add(row_request(13.0), bench.clock.now)
    with pytest.raises(ModelFailed, match="refused for a while"):
        bench.ask(13.0)


def test_answers_leave_in_the_order_of_arrival() -> None:
    bench = Bench(policy=BatchPolicy(preserve_ordering=True), batches_in_flight=1, max_batch_size=2)
    links = [bench.link(1), bench.link(2)]
    leases = [CountedLease() for _ in range(4)]
    for value, lease in enumerate(leases):
        bench.ask(float(value), request=row_request(float(value), lease=lease))
    bench.loop.turn()
    links[1].double()
    bench.queue.check()
    assert [bench.answers(float(value)) for value in range(4)] == [[], [], [], []]
    assert bench.queue.statistics().in_flight == 4, "what is held is not over"
    bench.queue.sweep(bench.clock.now)
    links[0].refuse()
    bench.loop.turn()
    links[1].double()
    assert [bench.answers(float(value)) for value in range(4)] == [[], [], [], []]
    links[0].refuse()
    assert bench.answers(0.0) == ["MODEL_FAILED"]
    assert [bench.answers(float(value)) for value in range(1, 4)] == [[2.0], [4.0], [6.0]]
    assert not any(lease.holds for lease in leases)
    bench.queue.check()


@LIVES
def test_a_long_life_under_a_queue_policy(seed: int, requests: int) -> None:
    """Through the whole queue, ordered for every second seed."""
    rng = random.Random(seed)
    is_ordered = seed % 2 == 1
    queues = QueuePolicy("reject", 0.02, allow_timeout_override=True, max_queue_size=20)
    policy = (
        BatchPolicy(queue_policy=queues, preserve_ordering=True)
        if is_ordered
        else BatchPolicy(
            priority_levels=3,
            default_priority_level=2,
            queue_policy=queues,
            priority_policies=((3, QueuePolicy("delay", 0.01)),),
        )
    )
    bench = Bench(policy=policy, max_queue_requests=48)
    links: dict[int, FakeLink] = {}
    asked: list[Pending] = []
    leases: list[CountedLease] = []
    told: list[float] = []
    workers = 0
    for step in range(requests):
        bench.clock.now += rng.random() * 0.001
        if len(links) < 2 and rng.random() < 0.2:
            workers += 1
            links[workers] = bench.link(workers)
        lease = CountedLease()
        request = row_request(
            float(step),
            rows=rng.randint(1, 4),
            lease=lease,
            priority=rng.randrange(5),
            timeout_at=bench.clock.now + rng.choice([0.005, inf]),
        )
        try:
            asked.append(bench.ask(float(step), request=request))
            leases.append(lease)
            original = asked[-1].done
            asked[-1].done = lambda result, step=step, tell=original: (
                told.append(step) if isinstance(result, InferResponse) else None,
                tell(result),
            )
        except Overloaded:
            del bench.told[float(step)]
        if rng.random() < 0.03 and asked:
            rng.choice(asked[-50:]).cancel()
        if rng.random() < 0.05:
            bench.queue.sweep(bench.clock.now)
        bench.loop.turn()
        for worker, link in list(links.items()):
            fate = rng.random()
            assert len(link.sent) <= 1
            if fate < 0.002:
                link.die()
                del links[worker]
            elif fate < 0.01 and link.sent:
                link.refuse()
            elif fate < 0.4 and link.sent:
                link.double()
        bench.loop.turn()
        bench.queue.check()
    links[0] = bench.link(0)
    for _ in range(10_000):
        if not any(link.sent for link in links.values()):
            break
        for link in links.values():
            if link.sent:
                link.double()
        bench.loop.turn()
    assert bench.queue.statistics()[:2] == (0, 0)
    assert len(bench.records) == len(asked), "one record a request"
    assert not any(pending.is_open for pending in asked)
    assert all(lease.holds == 0 for lease in leases)
    assert len(told) > requests / 5
    assert not is_ordered or told == sorted(told)
    for value in told:
        assert bench.answers(value) == [2.0 * value]


# ---- decoupled models ---------------------------------------------------------------------------


def stream(bench: Bench, value: float) -> tuple[PendingStream, KeptStream]:
    sink = KeptStream()
    pending = PendingStream(
        row_request(value), sink, lambda _, error: bench.records.append(error), bench.clock.now, 60.0
    )
    bench.queue.add(pending)
    bench.loop.turn()
    return pending, sink


def test_a_decoupled_model_answers_as_often_as_it_likes_one_request_at_a_time() -> None:
    bench = Bench(decoupled=True)
    link = bench.link()
    (first, one), (_, two) = stream(bench, 1.0), stream(bench, 2.0)
    assert [batch.rows for batch in link.sent] == [1], "the second waits where another instance can take it"
    link.part(5.0)
    link.part(6.0)
    assert (one.values, one.ends) == ([5.0, 6.0], [])
    link.end()
    bench.loop.turn()
    assert (one.ends, first.timings_ns) == ([None], (0, 7000, 0))
    link.end()
    assert (two.values, two.ends, bench.records) == ([], [None], [None, None])
    bench.queue.check()


def test_a_decoupled_model_is_not_asked_for_one_answer() -> None:
    bench = Bench(decoupled=True)
    with pytest.raises(GatewayError, match="decoupled transaction policy"):
        bench.ask(1.0)


def test_another_model_answers_a_stream_once_and_in_a_batch_with_others() -> None:
    bench = Bench()
    link = bench.link()
    sink = KeptStream()
    bench.queue.add(PendingStream(row_request(1.0), sink, lambda *_: None, bench.clock.now, 60.0))
    bench.ask(2.0)
    bench.loop.turn()
    assert link.double().rows == 2
    assert (sink.values, sink.ends, bench.answers(2.0)) == ([2.0], [None], [4.0])


def test_a_stream_that_was_cancelled_keeps_its_instance_until_the_worker_says_so() -> None:
    bench = Bench(decoupled=True)
    link = bench.link()
    pending, sink = stream(bench, 1.0)
    stream(bench, 2.0)
    pending.cancel()
    assert (link.stopped, len(link.sent)) == ([link.sent[0].batch_id], 1)
    lease = CountedLease()
    link.part(lease=lease)
    link.end()
    bench.loop.turn()
    assert (sink.values, sink.ends, lease.holds, len(link.sent)) == ([], [], 0, 1)
    assert bench.executions.parts()[-1].dropped_rows == 1, "an inference, and no answer"


def test_whoever_left_before_its_turn_to_be_answered_is_no_answer_either() -> None:
    bench = Bench(policy=BatchPolicy(preserve_ordering=True))
    link = bench.link()
    gone = bench.ask(1.0)
    bench.ask(2.0)
    bench.loop.turn()
    gone.cancel()
    link.double()
    assert bench.answers(2.0) == [4.0]
    (part,) = bench.executions.parts()
    assert part.dropped_rows == 1


def test_a_stream_past_its_deadline_is_stopped() -> None:
    bench = Bench(decoupled=True)
    link = bench.link()
    _, sink = stream(bench, 1.0)
    bench.queue.sweep(bench.clock.now + 61)
    assert [end.reason for end in sink.ends if end] == [Reason.DEADLINE_EXCEEDED]
    assert len(link.stopped) == 1


@pytest.mark.parametrize("parts", [0, 1])
def test_nothing_runs_again_once_an_answer_has_left(parts: int) -> None:
    bench = Bench(decoupled=True)
    link, other = bench.link(1), bench.link(2)
    _, sink = stream(bench, 1.0)
    link, other = (link, other) if link.sent else (other, link)
    for _ in range(parts):
        link.part()
    link.die()
    bench.loop.turn()
    assert [end.reason for end in sink.ends if end] == [Reason.INSTANCE_DIED] * parts
    assert len(other.sent) == 1 - parts


def test_an_error_amid_answers_is_the_end() -> None:
    bench = Bench(decoupled=True)
    link = bench.link()
    _, sink = stream(bench, 1.0)
    link.part(3.0)
    link.refuse()
    assert (sink.values, [str(end) for end in sink.ends]) == ([3.0], ["raised"])


def test_the_last_answer_may_be_a_reply() -> None:
    bench = Bench(decoupled=True)
    link = bench.link()
    _, sink = stream(bench, 1.0)
    link.part(3.0)
    link.double()
    assert (sink.values, sink.ends) == ([3.0, 2.0], [None])
