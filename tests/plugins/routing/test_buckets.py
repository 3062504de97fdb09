"""Weights that stick: the agreed vectors, the shares, and that nobody is moved who need not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.routing.buckets import BUCKETS, arm_of, bounds_of, bucket_of

UNITS = [f"unit-{number}" for number in range(200_000)]


@pytest.mark.parametrize(
    ("salt", "unit", "bucket"),
    [
        ("r-1", "alice", 6294),
        ("r-1", "bob", 2445),
        ("r-1", "user-42", 3633),
        ("r-1", "", 2851),
        ("r-1", "ключ", 7116),
        ("r-2", "alice", 3104),
    ],
)
def test_the_vectors_that_replicas_agree_on(salt: str, unit: str, bucket: int) -> None:
    assert bucket_of(salt, unit) == bucket


def candidates(weight: float, salt: str = "r") -> set[str]:
    """Who gets the second of two arms."""
    bounds = bounds_of([100 - weight, weight])
    return {unit for unit in UNITS if arm_of(bounds, bucket_of(salt, unit)) == 1}


def test_raising_a_weight_moves_units_to_the_candidate_and_none_away() -> None:
    five, quarter, everybody = candidates(5), candidates(25), candidates(100)
    assert five < quarter < everybody
    assert len(everybody) == len(UNITS)
    assert len(five) / len(UNITS) == pytest.approx(0.05, abs=0.003)
    assert len(quarter) / len(UNITS) == pytest.approx(0.25, abs=0.005)


def test_two_salts_split_independently() -> None:
    both = candidates(50, "a") & candidates(50, "b")
    assert len(both) / len(UNITS) == pytest.approx(0.25, abs=0.005)


def test_a_weight_of_nothing_gets_nobody() -> None:
    assert candidates(0) == set()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6).filter(lambda weights: sum(weights) > 0))
def test_every_bucket_has_one_arm_and_each_arm_its_share(weights: list[float]) -> None:
    bounds = bounds_of(weights)
    counts = [0] * len(weights)
    for bucket in range(BUCKETS):
        counts[arm_of(bounds, bucket)] += 1
    for weight, count in zip(weights, counts, strict=True):
        assert count == pytest.approx(weight / sum(weights) * BUCKETS, abs=1.01)


def test_the_last_arm_is_at_the_bottom_and_the_first_takes_the_rest() -> None:
    bounds = bounds_of([70, 20, 10])
    assert [arm_of(bounds, bucket) for bucket in (0, 999, 1000, 2999, 3000, 9999)] == [2, 2, 1, 1, 0, 0]
