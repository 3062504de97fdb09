"""Sums over entries: what is taken, what is coming, what may be promised."""

from __future__ import annotations

from random import Random

import pytest

from gateway.core.model import ModelKey
from gateway.lifecycle.books import STAGES, Books, Entry

KEY = ModelKey("m", 1)
ENTRIES = [
    Entry(KEY, "cpu", 10, "reserved", 0.0),
    Entry(KEY, "cpu", 20, "loaded", 0.0),
    Entry(ModelKey("n", 1), "cpu", 30, "leaving", 0.0),
    Entry(KEY, "GPU-1", 40, "loaded", 0.0),
]


@pytest.fixture
def books() -> Books:
    made = Books()
    for ticket, entry in enumerate(ENTRIES):
        made.put(ticket, entry)
    return made


def test_sums(books: Books) -> None:
    assert [books.bytes("cpu", stage) for stage in STAGES] == [10, 20, 30, 0]
    assert books.by_stage() == {
        ("cpu", "reserved"): 10,
        ("cpu", "loaded"): 20,
        ("cpu", "leaving"): 30,
        ("GPU-1", "loaded"): 40,
    }
    assert (books.models("cpu"), books.instances("cpu")) == ({"m": 2, "n": 1}, 3)
    assert books.on("GPU-1", "loaded") == {3: ENTRIES[3]}
    books.remove(3)
    books.remove(3)
    assert (3 in books, books.instances("GPU-1"), books.models("GPU-1")) == (False, 0, {})
    assert ("GPU-1", "loaded") not in books.by_stage()


@pytest.mark.parametrize(
    ("capacity", "really_free", "expected"),
    [(100, None, 40), (100, 1000, 40), (100, 25, 15), (100, 5, 0), (50, None, 0)],
)
def test_what_may_be_promised(books: Books, capacity: int, really_free: int | None, expected: int) -> None:
    assert books.free_bytes("cpu", capacity, really_free) == expected


def test_sums_stay_those_of_the_entries() -> None:
    books, rng = Books(), Random(1)
    for _ in range(2000):
        ticket = rng.randrange(50)
        if rng.random() < 0.3:
            books.remove(ticket)
        else:
            key = ModelKey(rng.choice("abc"), 1)
            size, stage = rng.randrange(100), rng.choice(STAGES)
            books.put(ticket, Entry(key, rng.choice(["cpu", "gpu"]), size, stage, 0.0))
        books.check()
