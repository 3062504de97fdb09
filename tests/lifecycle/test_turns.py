"""Whose load comes next: cold ones first, nobody for ever last, and no model twice before another once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.lifecycle.turns import MAX_REMEMBERED, URGENT_IN_A_ROW, Turns, Waiter, in_order


def test_cold_models_come_first_and_then_who_asked_first() -> None:
    waiting = [Waiter(1, "a", False), Waiter(2, "b", True), Waiter(3, "c", True)]
    assert [one.ticket for one in in_order(waiting, Turns(), 0)] == [2, 3, 1]


def test_after_some_cold_ones_in_a_row_another_has_its_turn() -> None:
    waiting = [Waiter(1, "a", True), Waiter(2, "b", False)]
    assert [one.ticket for one in in_order(waiting, Turns(), URGENT_IN_A_ROW)] == [2, 1]


def test_a_model_with_many_loads_does_not_keep_another_waiting() -> None:
    hot = [Waiter(number, "hot", True) for number in range(1, 101)]
    waiting = [*hot, Waiter(101, "cold", True)]
    turns = Turns()
    order = []
    for _ in range(3):
        first = in_order(waiting, turns, 0)[0]
        waiting.remove(first)
        turns.take(first.model, 1)
        order.append(first.model)
    assert order == ["hot", "cold", "hot"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=30))
def test_everybody_has_a_turn_soon(arrivals: list[tuple[str, bool]]) -> None:
    """With a new cold load of model `a` before every turn, all that waited at first come through."""
    waiting = [Waiter(number, model, is_urgent) for number, (model, is_urgent) in enumerate(arrivals)]
    old = {one.ticket for one in waiting}
    turns = Turns()
    in_a_row = 0
    for turn in range(1, 10 * len(arrivals) + 10):
        waiting.append(Waiter(1000 + turn, "a", True))
        first = in_order(waiting, turns, in_a_row)[0]
        waiting.remove(first)
        turns.take(first.model, 1)
        in_a_row = in_a_row + 1 if first.is_urgent else 0
        old.discard(first.ticket)
    assert not old


def test_turns_are_had_by_weight_and_not_saved_up() -> None:
    turns, weights = Turns(), {"heavy": 3, "light": 1}
    waiting = [Waiter(number, model, True) for number in range(1, 400) for model in weights]

    def had(count: int, models: set[str]) -> list[str]:
        order = []
        for _ in range(count):
            first = in_order([one for one in waiting if one.model in models], turns, 0)[0]
            waiting.remove(first)
            turns.take(first.model, weights[first.model])
            order.append(first.model)
        return order

    both = had(80, {"heavy", "light"})
    assert both.count("heavy") == 60
    assert max(len(run) for run in "".join(one[0] for one in both).split("l")) <= 4
    had(50, {"heavy"})
    assert had(8, {"heavy", "light"}).count("light") <= 3, "it asked for nothing, and has saved nothing up"


def test_what_is_remembered_is_bounded() -> None:
    turns = Turns()
    for number in range(3 * MAX_REMEMBERED):
        turns.take(f"m{number % (2 * MAX_REMEMBERED)}", 1)
        assert len(turns._passes) <= MAX_REMEMBERED + 1
