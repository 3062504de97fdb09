"""Who makes room: the least recently used, as few as will do, and never those that must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import ModelKey
from gateway.lifecycle import eviction
from gateway.lifecycle.eviction import Resident

NOW = 1000.0


def resident(ticket: int, size: int = 10, used: float = 0.0, **fields: object) -> Resident:
    one = Resident(ticket, ModelKey(f"m{ticket}", 1), size, used, 0.0)
    return one._replace(**fields)


def choose(residents: list[Resident], needed: int, now: float, residency_s: float) -> list[Resident] | None:
    in_order = sorted(residents, key=lambda one: (one.used_at, one.ticket))
    chosen = eviction.choose(in_order, needed, now, residency_s)
    return None if chosen is None else list(chosen)


@pytest.mark.parametrize(
    ("residents", "needed", "expected"),
    [
        ([resident(1, used=5.0), resident(2, used=3.0), resident(3, used=9.0)], 10, [2]),
        ([resident(1, used=5.0), resident(2, used=3.0), resident(3, used=9.0)], 11, [2, 1]),
        ([resident(1, used=1.0, in_flight=1), resident(2, used=2.0)], 5, [2]),
        ([resident(1, used=1.0, pinned=True), resident(2, used=2.0)], 5, [2]),
        ([resident(1, used=1.0, loaded_at=NOW - 9), resident(2, used=2.0)], 5, [2]),
        ([resident(1, used=0.0, loaded_at=900.0), resident(2, used=50.0)], 5, [2]),
        # A small one that came first is spared where a large one does alone.
        ([resident(1, 5, used=1.0), resident(2, 50, used=2.0)], 50, [2]),
        ([resident(1, 0, used=1.0), resident(2, 5, used=2.0)], 5, [2]),
        ([], 0, []),
    ],
)
def test_choices(residents: list[Resident], needed: int, expected: list[int]) -> None:
    chosen = choose(residents, needed, NOW, 10.0)
    assert chosen is not None
    assert [one.ticket for one in chosen] == expected


def test_none_where_no_choice_does() -> None:
    assert choose([resident(1), resident(2, in_flight=3)], 11, NOW, 10.0) is None
    assert choose([], 1, NOW, 10.0) is None


RESIDENTS = st.lists(
    st.builds(
        Resident,
        st.integers(1, 10**6),
        st.just(ModelKey("m", 1)),
        st.integers(0, 100),
        st.floats(0, NOW),
        st.floats(0, NOW),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: one.ticket,
)


@given(RESIDENTS, st.integers(0, 400), st.floats(0, 500))
def test_what_is_chosen_is_enough_permitted_and_not_too_much(
    residents: list[Resident], needed: int, residency_s: float
) -> None:
    chosen = choose(residents, needed, NOW, residency_s)
    able = [
        one
        for one in residents
        if not one.pinned and not one.in_flight and NOW - one.loaded_at >= residency_s
    ]
    if chosen is None:
        assert sum(one.size_bytes for one in able) < needed
        return
    assert set(chosen) <= set(able)
    total = sum(one.size_bytes for one in chosen)
    assert total >= needed
    assert all(total - one.size_bytes < needed for one in chosen)


def test_no_more_are_looked_at_than_it_takes() -> None:
    residents = iter([resident(1, used=1.0), resident(2, used=2.0), resident(3, used=3.0)])
    assert eviction.choose(residents, 15, NOW, 10.0) is not None
    assert [one.ticket for one in residents] == [3]
