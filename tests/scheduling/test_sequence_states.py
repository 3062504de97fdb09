"""The table of a sequence's life: what is in it happens, all else is a defect."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.scheduling.sequence_states import TRANSITIONS, Event, Sequence, State


def test_what_is_not_in_the_table_cannot_happen() -> None:
    for state, event in product(State, Event):
        sequence = Sequence(5)
        sequence.state = state
        if (state, event) in TRANSITIONS:
            sequence.take(event)
            assert sequence.state is TRANSITIONS[state, event]
        else:
            with pytest.raises(KeyError):
                sequence.take(event)


def test_every_state_can_be_reached_and_all_of_them_end() -> None:
    reached, ends = {State.WAITING}, {State.OVER}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
        ends |= {before for (before, _), after in TRANSITIONS.items() if after in ends}
    assert reached == ends == set(State)
    assert not [before for before, _ in TRANSITIONS if before is State.OVER]
