"""Slots: never more than the limit, urgent first, nobody for ever last."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.lifecycle.load_slots import URGENT_IN_A_ROW, LoadGate, LoadSlots, enter, grant, leave


def test_loads_start_in_order_as_slots_come_free() -> None:
    slots = LoadSlots(2)
    for who in (1, 2, 3):
        slots = enter(slots, who, is_urgent=True)
    slots, first = grant(slots)
    slots, second = grant(slots)
    slots, third = grant(slots)
    assert (first, second, third) == (1, 2, None)
    slots, fourth = grant(leave(slots, 1))
    assert fourth == 3


def test_what_somebody_waits_for_goes_first_but_not_for_ever() -> None:
    slots = enter(LoadSlots(1), 100, is_urgent=False)
    for who in range(10):
        slots = enter(slots, who, is_urgent=True)
    order = []
    for _ in range(11):
        slots, who = grant(slots)
        assert who is not None
        order.append(who)
        slots = leave(slots, who)
    assert order.index(100) == URGENT_IN_A_ROW
    assert [who for who in order if who != 100] == list(range(10))


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "enter spare", "leave"]), st.integers(0, 30)), max_size=80
)


@settings(max_examples=150)
@given(STEPS, st.integers(1, 3))
def test_the_gate_keeps_its_invariants_and_starts_everyone(steps: list[tuple[str, int]], limit: int) -> None:
    gate = LoadGate(limit)
    open_tickets: list[int] = []
    started: list[int] = []
    for what, index in steps:
        if what == "leave":
            if open_tickets:
                ticket = open_tickets.pop(index % len(open_tickets))
                gate.leave(ticket)
                gate.leave(ticket)
        else:
            ticket = gate.new_ticket()
            open_tickets.append(ticket)
            gate.enter(ticket, lambda who=ticket: started.append(who), is_urgent=what == "enter")
        gate.check()
    while gate.running:
        for ticket in [one for one in open_tickets if one in started]:
            gate.leave(ticket)
        gate.check()
    assert set(open_tickets) <= set(started)
    assert len(started) == len(set(started))
