"""Sums over entries: what is taken, what is coming, what may be promised."""

from __future__ import annotations

import pytest

from gateway.core.model import ModelKey
from gateway.lifecycle.books import Entry, by_stage, coming_bytes, free_bytes, taken_bytes

KEY = ModelKey("m", 1)
ENTRIES = [
    Entry(KEY, "cpu", 10, "reserved", 0.0),
    Entry(KEY, "cpu", 20, "loaded", 0.0),
    Entry(KEY, "cpu", 30, "leaving", 0.0),
    Entry(KEY, "GPU-1", 40, "loaded", 0.0),
]


def test_sums() -> None:
    assert taken_bytes(ENTRIES, "cpu") == 60
    assert coming_bytes(ENTRIES, "cpu") == 10
    assert by_stage(ENTRIES) == {
        ("cpu", "reserved"): 10,
        ("cpu", "loaded"): 20,
        ("cpu", "leaving"): 30,
        ("GPU-1", "loaded"): 40,
    }


@pytest.mark.parametrize(
    ("capacity", "really_free", "expected"),
    [(100, None, 40), (100, 1000, 40), (100, 25, 15), (100, 5, 0), (50, None, 0)],
)
def test_what_may_be_promised(capacity: int, really_free: int | None, expected: int) -> None:
    assert free_bytes(ENTRIES, "cpu", capacity, really_free) == expected
