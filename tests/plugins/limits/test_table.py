"""Many keys in bounded memory, and forgetting gives nobody a burst."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.limits.bucket import Bucket
from gateway_plugins.limits.table import Table

RATE, BURST = 1.0, 3.0


def is_admitted(table: Table, key: object, now: float) -> bool:
    if table.wait_s(key, now):
        return False
    table.take(key, now)
    return True


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0.0, 1.5)), max_size=150), st.integers(1, 4))
def test_no_key_gets_more_than_its_own_whoever_pushes(steps: list[tuple[int, float]], capacity: int) -> None:
    table, now, taken = Table(Bucket.of(RATE, BURST), capacity), 0.0, defaultdict(list)
    for key, pause in steps:
        now += pause
        if is_admitted(table, key, now):
            taken[key].append(now)
        assert len(table) <= capacity
    for times in taken.values():
        for first, began in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= RATE * (times[last] - began) + BURST + 1e-4


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0.0, 1.5)), max_size=100), st.integers(1, 4))
def test_the_wait_told_is_true_also_for_keys_that_share(
    steps: list[tuple[int, float]], capacity: int
) -> None:
    table, now = Table(Bucket.of(RATE, BURST), capacity), 0.0
    for key, pause in steps:
        now += pause
        wait_s = table.wait_s(key, now)
        if wait_s:
            assert not table.wait_s(key, now + wait_s)
        else:
            table.take(key, now)


def test_a_million_keys_are_a_hundred() -> None:
    table = Table(Bucket.of(1000.0, 10.0), 100)
    most = 0
    for number in range(1_000_000):
        now = number * 1e-5
        if not table.wait_s(number, now):
            table.take(number, now)
            most = max(most, len(table))
    assert most == 100


def test_keys_that_come_when_all_are_busy_share_one_bucket() -> None:
    table = Table(Bucket.of(1.0, 2.0), 2)
    assert [is_admitted(table, key, 0.0) for key in "aabb"] == [True] * 4
    assert [is_admitted(table, key, 0.0) for key in "cde"] == [True, True, False]
    assert table.wait_s("f", 0.0) == 1.0


def test_the_first_bucket_of_its_own_is_no_burst() -> None:
    table = Table(Bucket.of(1.0, 2.0), 2)
    assert [is_admitted(table, key, 0.0) for key in "aabcc"] == [True] * 5
    # That of b is full and gives way; what c took of the shared one counts in its own.
    assert [is_admitted(table, "c", 1.2) for _ in range(2)] == [True, False]
    assert len(table) == 2


def test_a_busy_key_is_not_forgotten() -> None:
    table = Table(Bucket.of(1.0, 2.0), 2)
    for key in "aab":
        table.take(key, 0.0)
    assert is_admitted(table, "c", 1.5)  # the bucket of b is full again, that of a is not
    assert len(table) == 2
    assert not table.wait_s("a", 1.5)
    table.take("a", 1.5)
    assert table.wait_s("a", 1.5) == 0.5
