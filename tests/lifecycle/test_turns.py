"""Whose load comes next: cold ones first, nobody for ever last, and no model twice before another once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.lifecycle.turns import URGENT_IN_A_ROW, Waiter, in_order


def test_cold_models_come_first_and_then_who_asked_first() -> None:
    waiting = [Waiter(1, "a", False), Waiter(2, "b", True), Waiter(3, "c", True)]
    assert [one.ticket for one in in_order(waiting, {}, 0)] == [2, 3, 1]


def test_after_some_cold_ones_in_a_row_another_has_its_turn() -> None:
    waiting = [Waiter(1, "a", True), Waiter(2, "b", False)]
    assert [one.ticket for one in in_order(waiting, {}, URGENT_IN_A_ROW)] == [2, 1]


def test_a_model_with_many_loads_does_not_keep_another_waiting() -> None:
    hot = [Waiter(number, "hot", True) for number in range(1, 101)]
    waiting = [*hot, Waiter(101, "cold", True)]
    last_turns: dict[str, int] = {}
    order = []
    for turn in range(1, 4):
        first = in_order(waiting, last_turns, 0)[0]
        waiting.remove(first)
        last_turns[first.model] = turn
        order.append(first.model)
    assert order == ["hot", "cold", "hot"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=30))
def test_everybody_has_a_turn_soon(arrivals: list[tuple[str, bool]]) -> None:
    """With a new cold load of model `a` before every turn, all that waited at first come through."""
    waiting = [Waiter(number, model, is_urgent) for number, (model, is_urgent) in enumerate(arrivals)]
    old = {one.ticket for one in waiting}
    last_turns: dict[str, int] = {}
    in_a_row = 0
    for turn in range(1, 10 * len(arrivals) + 10):
        waiting.append(Waiter(1000 + turn, "a", True))
        first = in_order(waiting, last_turns, in_a_row)[0]
        waiting.remove(first)
        last_turns[first.model] = turn
        in_a_row = in_a_row + 1 if first.is_urgent else 0
        old.discard(first.ticket)
    assert not old
