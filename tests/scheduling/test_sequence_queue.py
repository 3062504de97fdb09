"""The actor over the table: what is sent, what comes back, and what an instance's end means."""

from __future__ import annotations

import random
import struct
from math import inf
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import GatewayError, InvalidInput, Overloaded
from gateway.core.messages import InferResponse
from gateway.core.sequence import SequenceBatching, SequenceId
from gateway.scheduling.pending import Pending, PendingStream
from gateway.scheduling.sequence_queue import SequenceQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from gateway.workers.plans import Signature
from tests.fakes.links import FakeEvents, FakeLink, Sent
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import CountedLease, KeptStream
from tests.fakes.turns import STATE, sequence_request, stateful_spec


class Refusing(FakeLink):
    """A link that takes nothing."""

    def send(self, *_: Any) -> None:
        raise Overloaded("no room")


class Bench:
    """A queue, its clock, and what every caller was told, by the value it sent."""

    def __init__(self, batching: SequenceBatching | None = None, *, rows: int = 4, **more: Any) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.events = FakeEvents()
        self.executions = Executions("double", 1, self.clock)
        self.queue = SequenceQueue(
            stateful_spec(batching or SequenceBatching(max_idle_s=5.0), rows=rows, **more),
            SchedulingSettings(max_queue_requests=50),
            self.loop,
            self.clock,
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

    def ask(
        self, value: float, identity: SequenceId, *, deadline: float = inf, lease: Any = None, **flags: Any
    ) -> Pending:
        self.clock.now += 0.001
        request = sequence_request(value, identity, lease=lease, **flags)
        pending = Pending(
            request,
            self.told.setdefault(value, []).append,
            lambda _, error: self.records.append(error),
            self.clock.now,
            deadline,
        )
        self.queue.add(pending)
        self.loop.turn()
        self.queue.check()
        return pending

    def answers(self, value: float) -> list[float | str]:
        return [
            answer.reason.value
            if isinstance(answer, GatewayError)
            else float(np.frombuffer(answer.outputs[0].data, "<f4")[0])
            for answer in self.told[value]
        ]

    def double(self, link: FakeLink) -> Sent:
        batch = link.double()
        self.loop.turn()
        self.queue.check()
        return batch


def steps(batch: Sent) -> list[tuple[int, int, int]]:
    """Slot, flags and number of each row."""
    return list(struct.iter_unpack("<qqQ", batch.inputs[1]))


def test_a_sequence_from_start_to_end() -> None:
    bench = Bench()
    link = bench.link()
    for value, flags in ((1.0, {"start": True}), (2.0, {}), (3.0, {"end": True})):
        bench.ask(value, 77, **flags)
    told = []
    for value in (1.0, 2.0, 3.0):
        assert [batch.rows for batch in link.sent] == [1]
        told += steps(bench.double(link))
        assert bench.answers(value) == [2 * value]
    assert told == [(0, 1, 77), (0, 0, 77), (0, 2, 77)]
    assert bench.records == [None] * 3
    assert bench.queue.statistics() == (0, 0, 1)


def test_what_travels_beside_the_inputs() -> None:
    bench = Bench()
    link = bench.link()
    bench.ask(1.0, 77, start=True)
    ((_, _, signature, _),) = link.sent
    assert signature == Signature(((DType.FP32, (2,)), (DType.INT64, (3,))), (0,))
    bench = Bench(backend="python")
    link = bench.link()
    bench.ask(1.0, "ab", start=True)
    bench.ask(2.0, 5, start=True)
    bench.double(link)
    assert steps(link.sent[0]) == [(1, 1, 5)]
    assert link.sent[0].inputs[2] == bytes(4)
    assert link.sent[0].signature.inputs[2] == (DType.BYTES, (1,))


def test_sequences_share_a_batch_in_the_order_of_their_slots() -> None:
    bench = Bench()
    link = bench.link()
    for value in (1.0, 2.0, 3.0):
        bench.ask(value, int(value), start=True)
    bench.double(link)
    assert [(slot, number) for slot, _, number in steps(bench.double(link))] == [(1, 2), (2, 3)]
    assert [bench.answers(value) for value in (1.0, 2.0, 3.0)] == [[2.0], [4.0], [6.0]]
    (part,) = bench.executions.parts()
    assert {size: sums.count for size, sums in part.batches.items()} == {1: 1, 2: 1}


def test_a_delay_is_kept() -> None:
    bench = Bench(SequenceBatching(max_queue_delay_s=0.5, min_utilization=0.5))
    link = bench.link()
    bench.ask(1.0, 1, start=True)
    assert not link.sent
    bench.loop.run_until(bench.clock.now + 0.1)
    bench.ask(2.0, 2, start=True)
    assert [batch.rows for batch in link.sent] == [2]
    bench.double(link)
    bench.ask(3.0, 1)
    bench.loop.run_until(bench.clock.now + 0.49)
    assert not link.sent
    bench.loop.run_until(bench.clock.now + 0.02)
    assert [batch.rows for batch in link.sent] == [1]


@pytest.mark.parametrize(
    ("flags", "identity", "words"),
    [
        ({}, 5, "must specify the START flag"),
        ({"start": True}, 0, "correlation ID"),
        ({"start": True, "rows": 2}, 5, "batch-size 1"),
    ],
)
def test_what_is_refused(flags: dict[str, Any], identity: int, words: str) -> None:
    bench = Bench()
    bench.link()
    with pytest.raises(InvalidInput, match=words):
        bench.ask(1.0, identity, **flags)
    assert bench.queue.statistics().waiting == 0


def test_an_idle_sequence_makes_room_for_one_that_waits() -> None:
    bench = Bench(rows=1)
    link = bench.link()
    bench.ask(1.0, 1, start=True)
    bench.double(link)
    bench.ask(2.0, 2, start=True)
    assert bench.queue.statistics() == (1, 0, 1)
    bench.clock.now += 5.0
    bench.queue.sweep(bench.clock.now)
    bench.loop.turn()
    assert [number for _, _, number in steps(link.sent[0])] == [2]


def test_a_deadline_is_kept_while_waiting_and_while_running() -> None:
    bench = Bench()
    link = bench.link()
    bench.ask(1.0, 1, start=True, deadline=2000.0)
    bench.ask(2.0, 1, deadline=2000.0)
    bench.clock.now = 2000.0
    bench.queue.sweep(2000.0)
    assert bench.answers(1.0) == bench.answers(2.0) == ["DEADLINE_EXCEEDED"]
    bench.double(link)
    assert bench.answers(1.0) == ["DEADLINE_EXCEEDED"]
    (part,) = bench.executions.parts()
    assert part.dropped_rows == 1
    bench.ask(3.0, 1)
    bench.double(link)
    assert bench.answers(3.0) == [6.0], "it has run: the sequence goes on"


def test_a_batch_that_raised_runs_one_by_one_where_the_model_keeps_nothing() -> None:
    bench = Bench(SequenceBatching(states=(STATE,)), backend="python")
    link = bench.link()
    for value in (1.0, 2.0, 3.0, 4.0):
        bench.ask(value, int(value), start=True)
    bench.double(link)
    gone = next(turn for turn in bench.queue._seats[1].turns if turn.step.identity == 4).pending
    link.refuse()
    gone.cancel()
    bench.loop.turn()
    assert [batch.rows for batch in link.sent] == [1]
    link.refuse()
    bench.loop.turn()
    assert bench.answers(2.0) == ["MODEL_FAILED"]
    bench.double(link)
    assert bench.answers(3.0) == [6.0]
    assert not link.sent
    with pytest.raises(InvalidInput):
        bench.ask(5.0, 4)
    bench.ask(6.0, 2)
    assert steps(link.sent[0])[0][1:] == (0, 2)


def test_a_batch_that_raised_is_over_where_the_model_keeps_something() -> None:
    bench = Bench(backend="python")
    link = bench.link()
    for value in (1.0, 2.0, 3.0):
        bench.ask(value, int(value), start=True)
    bench.double(link)
    link.refuse()
    bench.loop.turn()
    assert bench.answers(2.0) == bench.answers(3.0) == ["MODEL_FAILED"]
    assert not link.sent
    bench.ask(4.0, 2)
    assert [batch.rows for batch in link.sent] == [1]


def test_one_that_was_refused_does_not_hurt_its_mates() -> None:
    bench = Bench(backend="python")
    link = bench.link()
    for value in (1.0, 2.0, 3.0):
        bench.ask(value, int(value), start=True)
    bench.double(link)
    batch = link.sent.pop()
    assert batch.signature.outputs == (0, 1)
    data = np.arange(4, dtype="<f4").tobytes()
    faults = struct.pack("<I", 3) + b"ino" + bytes(4)
    reply = CountedLease()
    bench.queue.on_reply(link, batch.batch_id, (((2, 2), data), ((2, 1), faults)), (0, 10, 0), reply)
    assert (bench.answers(2.0), bench.answers(3.0)) == (["INVALID_INPUT"], [2.0])
    assert reply.holds == 1, "that of the one answer"
    (part,) = bench.executions.parts()
    assert part.dropped_rows == 1
    bench.ask(4.0, 2)
    assert [batch.rows for batch in link.sent] == [1], "its sequence goes on"


def test_nothing_runs_twice_when_an_instance_dies() -> None:
    bench = Bench()
    link = bench.link()
    bench.ask(1.0, 1, start=True)
    bench.ask(2.0, 1)
    bench.ask(3.0, 2, start=True)
    link.die()
    bench.loop.turn()
    assert bench.answers(1.0) == bench.answers(2.0) == ["INSTANCE_DIED"]
    assert bench.answers(3.0) == []
    assert bench.events.lost == [1]
    assert not bench.queue.has_instances
    second = bench.link(2)
    assert [number for _, _, number in steps(second.sent[0])] == [2], "it had not begun"
    with pytest.raises(InvalidInput, match="lost with the model's process"):
        bench.ask(4.0, 1)
    link.die()  # told once more


def test_an_instance_leaves_when_nothing_of_its_sequences_is_under_way() -> None:
    bench = Bench()
    link = bench.link()
    left: list[int] = []
    bench.queue.detach(9, lambda: left.append(9))
    bench.ask(1.0, 1, start=True)
    bench.ask(2.0, 1)
    bench.queue.detach(1, lambda: left.append(1))
    assert (left, bench.queue.has_instances) == ([9], False)
    bench.double(link)
    assert left == [9]
    bench.double(link)
    assert left == [9, 1]
    assert bench.answers(2.0) == [4.0]
    assert bench.queue.statistics().instances == 0


def test_an_instance_that_dies_while_leaving_has_left() -> None:
    bench = Bench()
    link = bench.link()
    left: list[int] = []
    bench.ask(1.0, 1, start=True)
    bench.queue.detach(1, lambda: left.append(1))
    link.die()
    assert left == [1]


def test_what_cannot_be_sent_fails_and_its_sequence_has_not_begun() -> None:
    bench = Bench()
    bench.queue.attach(Refusing(1, bench.queue))
    bench.ask(1.0, 1, start=True)
    assert bench.answers(1.0) == ["OVERLOADED"]
    with pytest.raises(InvalidInput):
        bench.ask(2.0, 1)
    assert bench.queue.statistics() == (0, 0, 1)


def test_all_that_waits_can_be_failed() -> None:
    bench = Bench()
    bench.ask(1.0, 1, start=True)
    bench.queue.fail_waiting(Overloaded("gone"))
    assert bench.answers(1.0) == ["OVERLOADED"]


def test_memory_is_given_back() -> None:
    bench = Bench()
    link = bench.link()
    leases = [CountedLease() for _ in range(3)]
    for value, lease in enumerate(leases):
        bench.ask(float(value), value + 1, start=True, lease=lease)
    bench.double(link)
    reply = CountedLease()
    batch = link.sent.pop()
    data = np.zeros(4, "<f4").tobytes()
    bench.queue.on_reply(link, batch.batch_id, (((2, 2), data),), (0, 1, 0), reply)
    assert [lease.holds for lease in leases] == [0, 0, 0]
    assert reply.holds == 2, "one for each answer"


def test_a_stream_gets_its_one_answer() -> None:
    bench = Bench()
    link = bench.link()
    sink = KeptStream()
    request = sequence_request(3.0, 1, start=True)
    bench.queue.add(PendingStream(request, sink, lambda *_: None, bench.clock.now, 60.0))
    bench.loop.turn()
    bench.double(link)
    assert (sink.values, sink.ends) == ([6.0], [None])


def test_a_suspect_is_told_of() -> None:
    bench = Bench()
    bench.queue.on_suspect(bench.link(), "odd")
    assert bench.events.suspects == [1]


def test_a_long_life() -> None:
    """Thousands of events in any order: everyone is told once, and each sequence's answers come in order."""
    draw = random.Random(7)
    bench = Bench(SequenceBatching(max_idle_s=0.5, max_candidates=3), rows=2)
    links = [bench.link(number) for number in range(2)]
    sent: dict[int, list[float]] = {}
    for value in range(4000):
        identity = draw.randrange(1, 9)
        match draw.randrange(8):
            case 0 if len(links) > 1:
                links.pop(draw.randrange(len(links))).die()
            case 1 if len(links) < 3:
                links.append(bench.link(1000 + value))
            case 2:
                bench.clock.now += 0.2
                bench.queue.sweep(bench.clock.now)
            case 3:
                for link in links:
                    if link.sent:
                        link.refuse()
            case _:
                flags = {"start": draw.random() < 0.4, "end": draw.random() < 0.2}
                try:
                    bench.ask(float(value), identity, **flags, deadline=bench.clock.now + draw.random())
                    sent.setdefault(identity, []).append(float(value))
                except (InvalidInput, Overloaded):
                    assert bench.told.pop(float(value)) == []
        bench.loop.turn()
        for link in links:
            if link.sent and draw.random() < 0.7:
                bench.double(link)
        bench.queue.check()
    for _ in range(100):
        bench.clock.now += 0.5
        bench.queue.sweep(bench.clock.now)
        bench.loop.turn()
        for link in links:
            while link.sent:
                bench.double(link)
    assert bench.queue.statistics()[:2] == (0, 0)
    assert all(len(told) == 1 for told in bench.told.values())
    assert sum(not isinstance(told[0], GatewayError) for told in bench.told.values()) > 500
