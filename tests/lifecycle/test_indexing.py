from __future__ import annotations

import pytest

from gateway.control.questions import IndexEntry
from gateway.core.model import ModelKey
from gateway.lifecycle.indexing import entry_of
from gateway.lifecycle.states import State

KEY = ModelKey("m", 3)


@pytest.mark.parametrize(
    ("state", "shown", "reason"),
    [
        (State.ABSENT, "READY", "it loads at the first request"),
        (State.LOADING, "LOADING", ""),
        (State.READY, "READY", "on GPU 1; on the CPU: no GPU is visible"),
        (State.DRAINING, "UNLOADING", ""),
        (State.FAILED, "UNAVAILABLE", "a cyclic graph"),
    ],
)
def test_what_is_told(state: State, shown: str, reason: str) -> None:
    notes = ["on GPU 1", "", "on the CPU: no GPU is visible", "on GPU 1"]
    assert entry_of(KEY, state, "a cyclic graph", notes) == IndexEntry("m", 3, shown, reason)


def test_every_state_has_a_word() -> None:
    assert all(entry_of(KEY, state, "", ()).state for state in State)
