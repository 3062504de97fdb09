"""The table is the whole truth about what may follow what."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.lifecycle.states import TRANSITIONS, Event, IllegalTransition, State, after


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_what_is_not_in_the_table_is_illegal(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event.value} in state {state.value}"):
            after(state, event)


def test_somebody_may_always_wait_and_a_version_may_always_be_withdrawn() -> None:
    for state in State:
        assert (state, Event.ACTIVATE) in TRANSITIONS
        assert (state, Event.WITHDRAW) in TRANSITIONS


def test_every_state_can_be_reached_and_left_for_absent() -> None:
    def reachable(start: State) -> set[State]:
        found, last = {start}, set[State]()
        while found != last:
            last = set(found)
            found |= {to for (state, _), to in TRANSITIONS.items() if state in found}
        return found

    assert reachable(State.ABSENT) == set(State)
    assert all(State.ABSENT in reachable(state) for state in State)


def test_ready_is_entered_by_a_load_or_by_turning_back() -> None:
    assert {event for (state, event), to in TRANSITIONS.items() if to is State.READY and state is not to} == {
        Event.LOADED,
        Event.RESUMED,
    }
