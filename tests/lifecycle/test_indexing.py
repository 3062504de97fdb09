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
        ("absent", "READY", "it loads at the first request"),
        ("loading", "LOADING", ""),
        ("ready", "READY", "on GPU 1; on the CPU: no GPU is visible"),
        ("draining", "UNLOADING", ""),
        ("failed", "UNAVAILABLE", "a cyclic graph"),
    ],
)
def test_what_is_told(state: str, shown: str, reason: str) -> None:
    notes = ["on GPU 1", "", "on the CPU: no GPU is visible", "on GPU 1"]
    assert entry_of(KEY, state, "a cyclic graph", notes) == IndexEntry("m", 3, shown, reason)  # type: ignore[arg-type]


def test_every_state_has_a_word() -> None:
    assert all(entry_of(KEY, state.value, "", ()).state for state in State)
