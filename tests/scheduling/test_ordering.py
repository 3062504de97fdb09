"""Answers in the order of arrival: held, freed, and never in the way of what ended otherwise."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, ModelFailed, Overloaded
from gateway.core.messages import InferResponse
from gateway.scheduling.ordering import Ordering
from gateway.scheduling.pending import Pending
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import CountedLease, row_request


class Bench:
    """An ordering, and what was told in the order it was told."""

    def __init__(self, most: int = 100) -> None:
        self.loop = FakeLoop(FakeClock())
        self.ordering = Ordering(self.loop, most)
        self.told: list[str] = []
        self.closed: list[Pending] = []
        self.leases: dict[str, CountedLease] = {}

    def ask(self, name: str, deadline: float = inf) -> Pending:
        def done(result: InferResponse | GatewayError) -> None:
            self.told.append(f"{name}!" if isinstance(result, GatewayError) else name)
            if isinstance(result, InferResponse) and result.lease is not None:
                result.lease.release()

        pending = Pending(row_request(1.0), done, lambda one, _: self.closed.append(one), 0.0, deadline)
        self.ordering.refuse_full()
        self.ordering.enter(pending)
        return pending

    def answer(self, pending: Pending) -> CountedLease:
        lease = CountedLease()
        self.ordering.tell(pending, InferResponse("double", 1, (), lease=lease))
        self.ordering.check()
        return lease


def test_an_early_answer_waits_for_the_ones_before_it() -> None:
    bench = Bench()
    a, b, c = (bench.ask(name) for name in "abc")
    bench.answer(c)
    bench.answer(b)
    assert (bench.told, bench.ordering.held) == ([], 2)
    bench.answer(a)
    assert (bench.told, bench.ordering.held) == (["a", "b", "c"], 0)
    assert bench.closed == [a, b, c]


def test_an_error_of_the_model_keeps_its_place_too() -> None:
    bench = Bench()
    a, b = bench.ask("a"), bench.ask("b")
    bench.ordering.tell(b, ModelFailed("why"))
    bench.answer(a)
    assert bench.told == ["a", "b!"]


def test_who_ends_otherwise_is_told_at_once_and_holds_nobody_up() -> None:
    bench = Bench()
    a, b, c = (bench.ask(name) for name in "abc")
    bench.answer(c)
    b.fail(Overloaded("full"))
    a.cancel()
    bench.loop.turn()
    assert bench.told == ["b!", "c"]


def test_a_held_answer_keeps_its_deadline_and_gives_its_memory_back() -> None:
    bench = Bench()
    bench.ask("a")
    b, c = bench.ask("b", 5.0), bench.ask("c")
    leases = [bench.answer(b), bench.answer(c)]
    bench.ordering.sweep(4.0)
    assert bench.told == []
    bench.ordering.sweep(5.0)
    c.cancel()
    assert bench.told == ["b!"]
    assert [lease.holds for lease in leases] == [0, 0]
    bench.ordering.check()
    lease = bench.answer(c)
    assert lease.holds == 0, "an answer for who has gone is dropped"


def test_no_more_is_let_in_while_too_much_is_held() -> None:
    bench = Bench(most=1)
    a, b = bench.ask("a"), bench.ask("b")
    bench.answer(b)
    with pytest.raises(Overloaded, match="Exceeds maximum queue size"):
        bench.ask("c")
    bench.answer(a)
    bench.ask("c")


@given(order=st.permutations(range(8)), cancelled=st.sets(st.integers(0, 7)))
def test_whatever_the_order_of_the_answers(order: list[int], cancelled: set[int]) -> None:
    bench = Bench()
    everyone = [bench.ask(str(number)) for number in range(8)]
    leases = []
    for number in order:
        if number in cancelled:
            everyone[number].cancel()
        else:
            leases.append(bench.answer(everyone[number]))
        bench.loop.turn()
        bench.ordering.check()
    assert bench.told == [str(number) for number in range(8) if number not in cancelled]
    assert not any(lease.holds for lease in leases)
    assert len(bench.closed) == 8
