"""Who lives where and who is over: as a table of cases, and as a long life in which nothing may go wrong."""

from __future__ import annotations

from collections import defaultdict
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.errors import DeadlineExceeded, GatewayError, InstanceDied, InvalidInput, Overloaded
from gateway.core.sequence import SequenceBatching, SequenceId
from gateway.scheduling.pending import Pending
from gateway.scheduling.sequence_states import State, Turn
from gateway.scheduling.sequence_steps import Step
from gateway.scheduling.sequences import SequenceTable
from tests.fakes.turns import pending_of, stateful_spec


class Bench:
    """A table, its clock, and what every request was told; requests are named by the order they came in."""

    def __init__(self, batching: SequenceBatching | None = None, *, rows: int = 2, most: int = 100) -> None:
        self.table = SequenceTable(stateful_spec(batching or SequenceBatching(), rows=rows), most)
        self.now = 100.0
        self.names: dict[Pending, int] = {}
        self.failed: dict[int, GatewayError] = {}
        self.out: dict[int, list[Turn]] = {}

    def ask(
        self, identity: SequenceId, *, start: bool = False, end: bool = False, deadline: float = inf
    ) -> Pending:
        self.now += 0.001
        pending = pending_of(self.now, self._closed, deadline=deadline)
        self.names[pending] = len(self.names)
        try:
            self.table.enter(pending, Step(identity, start, end), self.now)
        finally:
            self.tell()
        return pending

    def _closed(self, pending: Pending, error: GatewayError | None) -> None:
        assert self.names[pending] not in self.failed
        if error is not None:
            self.failed[self.names[pending]] = error

    def tell(self) -> None:
        while self.table.refused:
            pending, error = self.table.refused.pop(0)
            pending.fail(error)
        self.table.check()

    def take(self, instance: int = 1) -> list[int]:
        turns, _ = self.table.take(instance, self.now)
        self.tell()
        if turns:
            self.out[instance] = turns
        return [self.names[turn.pending] for turn in turns]

    def answer(self, instance: int = 1) -> None:
        self.table.answered(self.out.pop(instance), self.now)
        self.tell()

    def run(self, instance: int = 1) -> list[int]:
        """One batch from out to answered."""
        taken = self.take(instance)
        if taken:
            self.answer(instance)
        return taken

    def open(self, *instances: int) -> None:
        for instance in instances:
            self.table.open(instance, self.now)
            self.tell()

    def lose(self, instance: int = 1) -> None:
        for pending, error in self.table.died(self.out.pop(instance, [])):
            pending.fail(error)
        self.table.lose(instance, self.now)
        self.tell()


def test_a_sequence_runs_in_order_one_request_at_a_time() -> None:
    bench = Bench()
    bench.open(1)
    for flags in ({"start": True}, {}, {"end": True}):
        bench.ask(5, **flags)
    assert bench.take() == [0]
    assert bench.take() == [], "its next request waits until this one is answered"
    bench.answer()
    assert [bench.run(), bench.run(), bench.run()] == [[1], [2], []]


def test_sequences_share_batches() -> None:
    bench = Bench()
    bench.open(1)
    for identity in (5, 6, 5):
        bench.ask(identity, start=True)
    assert [bench.run(), bench.run()] == [[0, 1], [2]]


def test_what_is_not_open_must_be_started() -> None:
    bench = Bench()
    bench.open(1)
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        bench.ask(5)
    bench.ask(5, start=True, end=True)
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        bench.ask(5)
    bench.ask(5, start=True)
    assert [bench.run(), bench.run()] == [[1], [3]]
    bench.ask(5)
    with pytest.raises(InvalidInput):
        bench.ask("5")


def test_a_slot_is_kept_until_the_end_and_the_next_in_line_gets_it() -> None:
    bench = Bench()
    bench.open(1)
    for identity in (1, 2, 3, 4):
        bench.ask(identity, start=True)
    bench.ask(3)
    assert [bench.run(), bench.run()] == [[0, 1], []]
    bench.ask(2, end=True)
    assert [bench.run(), bench.run(), bench.run()] == [[5], [2], [4]]
    bench.ask(1, end=True)
    assert [bench.run(), bench.run()] == [[6], [3]]


def test_sequences_live_where_most_room_is_and_stay_there() -> None:
    bench = Bench()
    bench.open(1, 2)
    for identity in (1, 2, 3):
        bench.ask(identity, start=True)
    assert (bench.run(1), bench.run(2)) == ([0, 2], [1])
    for identity in (3, 2, 1):
        bench.ask(identity)
    assert (bench.run(2), bench.run(1)) == ([4], [5, 3])


def test_one_that_begins_anew_waits_behind_those_that_came_before() -> None:
    bench = Bench(rows=1)
    bench.open(1)
    bench.ask(1, start=True, end=True)
    bench.ask(2, start=True, end=True)
    bench.ask(1, start=True)
    assert [bench.run(), bench.run(), bench.run()] == [[0], [1], [2]]


def test_the_idle_expire_and_the_busy_do_not() -> None:
    bench = Bench(SequenceBatching(max_idle_s=1.0), rows=1)
    bench.open(1)
    bench.ask(1, start=True)
    bench.ask(2, start=True)
    assert bench.take() == [0]
    bench.now += 5.0  # runs for long
    bench.table.sweep(bench.now)
    bench.answer()
    assert bench.run() == []
    bench.now += 0.9
    bench.table.sweep(bench.now)
    assert bench.run() == []
    bench.now += 0.2
    assert bench.run() == [], "nothing happens by time alone"
    bench.table.sweep(bench.now)
    assert bench.run() == [1]
    with pytest.raises(InvalidInput, match="idle for 1 s"):
        bench.ask(1)


def test_a_request_that_comes_too_late_finds_its_sequence_expired() -> None:
    bench = Bench(SequenceBatching(max_idle_s=1.0))
    bench.open(1)
    bench.ask(1, start=True)
    bench.run()
    bench.now += 1.1
    with pytest.raises(InvalidInput):
        bench.ask(1)


def test_a_start_that_was_given_up_takes_what_follows_along() -> None:
    bench = Bench()
    start = bench.ask(1, start=True)
    bench.ask(1)
    bench.ask(1, start=True)
    start.cancel()
    bench.open(1)
    assert bench.run() == [2]
    assert isinstance(bench.failed[1], InvalidInput)


def test_a_restart_that_was_given_up_does_not_go_on_with_the_old_state() -> None:
    bench = Bench()
    bench.open(1)
    bench.ask(1, start=True)
    bench.run()
    bench.ask(1, start=True).cancel()
    bench.ask(1)
    assert bench.run() == []
    assert isinstance(bench.failed[2], InvalidInput)


def test_an_end_that_was_given_up_is_an_end() -> None:
    bench = Bench(rows=1)
    bench.open(1)
    bench.ask(1, start=True)
    bench.ask(1, end=True).cancel()
    bench.ask(2, start=True)
    assert [bench.run(), bench.run()] == [[0], [2]]


def test_a_request_amid_a_sequence_that_was_given_up_is_skipped() -> None:
    bench = Bench()
    bench.open(1)
    bench.ask(1, start=True)
    bench.ask(1).cancel()
    bench.ask(1)
    assert [bench.run(), bench.run()] == [[0], [2]]


def test_deadlines_are_kept_while_waiting() -> None:
    bench = Bench(rows=1)
    bench.open(1)
    bench.ask(1, start=True)
    bench.ask(1, deadline=200.0)
    bench.ask(2, start=True, deadline=200.0)
    bench.take()
    bench.now = 200.0
    bench.table.sweep(bench.now)
    bench.tell()
    assert [type(bench.failed[name]) for name in (1, 2)] == [DeadlineExceeded, DeadlineExceeded]
    bench.answer()
    bench.ask(1)
    assert bench.run() == [3]
    bench.ask(1, deadline=bench.now)
    assert bench.run() == []
    assert isinstance(bench.failed[4], DeadlineExceeded)


def test_a_dead_instance_takes_its_sequences_along() -> None:
    bench = Bench()
    bench.open(1)
    bench.ask(1, start=True)
    bench.ask(2, start=True)
    bench.run()
    bench.ask(1)
    bench.ask(1)  # waits for the one before
    bench.ask(2)
    bench.take()
    bench.ask(3, start=True)
    bench.lose()
    assert {name: type(error) for name, error in bench.failed.items()} == dict.fromkeys(
        (2, 3, 4), InstanceDied
    )
    assert "sequence 1" in bench.failed[2].text
    with pytest.raises(InvalidInput):
        bench.ask(1)
    bench.open(2)
    assert bench.run(2) == [5], "what had not begun has lost nothing"


def test_what_begins_anew_outlives_a_dead_instance() -> None:
    bench = Bench()
    bench.open(1)
    bench.ask(1, start=True)
    bench.run()
    bench.ask(1)
    bench.ask(1, start=True)
    bench.lose()
    bench.open(2)
    assert bench.run(2) == [2]
    assert set(bench.failed) == {1}


def test_a_closed_instance_serves_those_it_has() -> None:
    bench = Bench()
    bench.open(1)
    bench.ask(1, start=True)
    bench.run()
    bench.table.close(1)
    bench.ask(2, start=True)
    bench.ask(1)
    assert bench.table.has_turns(1)
    assert bench.run() == [2]
    assert not bench.table.has_turns(1)
    bench.open(2)
    assert bench.run(2) == [1]


def test_what_could_not_be_sent_did_not_happen() -> None:
    bench = Bench()
    bench.open(1)
    bench.ask(1, start=True)
    bench.ask(1)
    bench.take()
    bench.table.unsent(bench.out.pop(1), bench.now)
    bench.tell()
    assert bench.run() == []
    assert isinstance(bench.failed[1], InvalidInput)


def test_a_full_table_takes_nothing_in_but_forgets_who_has_gone() -> None:
    bench = Bench(most=2)
    first = bench.ask(1, start=True)
    bench.ask(2, start=True)
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        bench.ask(3, start=True)
    first.cancel()
    bench.ask(3, start=True)
    bench.open(1)
    assert bench.run() == [1, 3]


def test_all_that_waits_can_be_failed() -> None:
    bench = Bench(rows=1)
    bench.open(1)
    bench.ask(1, start=True)
    bench.take()
    bench.ask(1, end=True)
    bench.ask(2, start=True)
    bench.table.fail_waiting(Overloaded("no more"), bench.now)
    bench.tell()
    assert set(bench.failed) == {1, 2}
    bench.answer()
    bench.ask(1)
    assert bench.run() == [3]


def test_an_oldest_table_has_slots_beyond_its_rows() -> None:
    bench = Bench(SequenceBatching(max_candidates=3), rows=2)
    bench.open(1)
    for identity in range(1, 5):
        bench.ask(identity, start=True)
    assert [bench.run(), bench.run(), bench.run()] == [[0, 1], [2], []]


class TableMachine(RuleBasedStateMachine):
    """Any order of events: each sequence in order, never twice at once, always in one place, none lost."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(SequenceBatching(max_idle_s=1.0), rows=2, most=12)
        self.instances: list[int] = []
        self.made = 0
        self.steps: dict[int, Step] = {}
        self.entered: dict[SequenceId, list[int]] = defaultdict(list)
        self.ran: dict[SequenceId, list[int]] = defaultdict(list)
        self.waiting: list[Pending] = []
        # By id: in which instance and slot the model has the state of the sequence that runs.
        self.homes: dict[SequenceId, tuple[int, int]] = {}

    @rule(
        identity=st.integers(1, 4),
        start=st.booleans(),
        end=st.booleans(),
        patience=st.sampled_from([0.5, inf]),
    )
    def ask(self, identity: int, start: bool, end: bool, patience: float) -> None:
        name = len(self.bench.names)
        self.steps[name] = Step(identity, start, end)
        try:
            self.waiting.append(
                self.bench.ask(identity, start=start, end=end, deadline=self.bench.now + patience)
            )
        except (InvalidInput, Overloaded):
            return
        self.entered[identity].append(name)

    @precondition(lambda self: len(self.instances) < 2)
    @rule()
    def open(self) -> None:
        self.made += 1
        self.instances.append(self.made)
        self.bench.open(self.made)

    @precondition(lambda self: self.instances)
    @rule(choice=st.integers(0, 1))
    def lose(self, choice: int) -> None:
        instance = self.instances.pop(choice % len(self.instances))
        self.bench.lose(instance)
        self.homes = {who: home for who, home in self.homes.items() if home[0] != instance}

    @precondition(lambda self: any(one not in self.bench.out for one in self.instances))
    @rule()
    def take(self) -> None:
        instance = next(one for one in self.instances if one not in self.bench.out)
        for name in self.bench.take(instance):
            step = self.steps[name]
            running = [turn for turns in self.bench.out.values() for turn in turns]
            (turn,) = [one for one in running if self.bench.names[one.pending] == name]
            home = (instance, turn.sequence.slot)
            if step.is_start:
                self.homes[step.identity] = home
            assert self.homes.get(step.identity) == home, "it would find the state of nobody"
            assert sum(one.step.identity == step.identity for one in running) == 1, "twice at once"
            self.ran[step.identity].append(name)

    @precondition(lambda self: self.bench.out)
    @rule()
    def answer(self) -> None:
        instance = next(iter(self.bench.out))
        for turn in self.bench.out[instance]:
            turn.pending.fail(Overloaded("answered"))
            if turn.step.is_end:
                self.homes.pop(turn.step.identity, None)
        self.bench.answer(instance)

    @precondition(lambda self: self.waiting)
    @rule(choice=st.integers(0, 10))
    def cancel(self, choice: int) -> None:
        self.waiting.pop(choice % len(self.waiting)).cancel()

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.5]))
    def pass_time(self, seconds: float) -> None:
        self.bench.now += seconds
        self.bench.table.sweep(self.bench.now)
        self.bench.tell()

    @invariant()
    def is_sound(self) -> None:
        self.bench.table.check()
        for identity, names in self.ran.items():
            assert names == [name for name in self.entered[identity] if name in names], "out of order"

    def teardown(self) -> None:
        """Whoever still waits is served, or told why not, once everything has room and time."""
        while self.bench.out:
            self.answer()
        for instance in [100, 101, 102, 103]:
            self.bench.open(instance)
            self.instances.append(instance)
        for _ in range(60):
            for instance in self.instances:
                self.bench.take(instance)
            while self.bench.out:
                self.answer()
            self.pass_time(1.5)
        assert self.bench.table.waiting == 0
        assert not any(pending.is_open for pending in self.waiting)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_states_of_a_table_are_those_of_its_sequences() -> None:
    bench = Bench()
    bench.open(1)
    pending = bench.ask(1, start=True)
    (turn,) = bench.table.take(1, bench.now)[0]
    assert (turn.pending, turn.sequence.state) == (pending, State.RUNNING)
