"""Counted in once and out once, whatever the order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.limits.concurrency import Counters, Held


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 30)), max_size=120))
def test_counts_are_those_who_are_in_and_nobody_at_the_end(steps: list[tuple[bool, int, int]]) -> None:
    counters, inside, gone = Counters(), list[tuple[int, Held]](), list[Held]()
    for enters, key, which in steps:
        if enters:
            inside.append((key, Held(((counters, key),))))
        elif inside:
            _, held = inside.pop(which % len(inside))
            held()
            gone.append(held)
        elif gone:
            gone[which % len(gone)]()  # a second time, which must change nothing
        for number in range(5):
            assert counters.of(number) == sum(key == number for key, _ in inside)
        assert len(counters) == len({key for key, _ in inside})
    for _, held in inside:
        held()
    assert len(counters) == 0


def test_one_request_is_counted_in_several() -> None:
    tenants, models = Counters(), Counters()
    held = Held(((tenants, "t"), (models, "m")))
    assert (tenants.of("t"), models.of("m")) == (1, 1)
    held()
    held()
    assert (tenants.of("t"), models.of("m"), len(tenants), len(models)) == (0, 0, 0, 0)


def test_a_million_keys_leave_nothing() -> None:
    counters = Counters()
    for key in range(1_000_000):
        counters.enter(key)
        counters.leave(key)
    assert len(counters) == 0
