"""How far is far: equal distributions are told to be so, whatever the number of rows."""

from __future__ import annotations

import numpy as np
import pytest

from gateway_plugins.drift.histograms import Bins
from gateway_plugins.drift.measures import Verdict, chance_limit, distance, stability_index, verdict


def counts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_what_is_equal_is_not_apart() -> None:
    assert stability_index(counts(100, 200), counts(100, 200)) == pytest.approx(0.0)
    assert distance(counts(100, 200), counts(100, 200)) == pytest.approx(0.0)
    assert distance(counts(10_000, 0), counts(0, 10_000)) == pytest.approx(1.0, abs=0.01)


def test_the_index_by_hand() -> None:
    p, q = np.array([30.5, 10.5]) / 41, np.array([20.5, 20.5]) / 41
    expected = float(((p - q) * np.log(p / q)).sum())
    assert stability_index(counts(20, 20), counts(30, 10)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("n", "m", "limit"),
    [(100, 1000, 0.238), (500, 5000, 0.0477), (1000, 1000, 0.0433), (2000, 20_000, 0.0119)],
)
def test_the_limit_of_chance_for_ten_bins(n: int, m: int, limit: float) -> None:
    assert chance_limit(10, m, n) == pytest.approx(limit, rel=0.01)


@pytest.mark.parametrize(("n", "m"), [(500, 1000), (1000, 1000), (2000, 20_000)])
def test_chance_is_taken_for_drift_in_one_of_a_hundred_windows(n: int, m: int) -> None:
    random = np.random.default_rng(7)
    beyond = 0
    for _ in range(400):
        reference = random.normal(size=m)
        bins = Bins.of(reference)
        old, new = bins.count(reference), bins.count(random.normal(size=n))
        inner = slice(0, 10)  # of what lies outside a few more are seen than the reference has
        beyond += stability_index(old[inner], new[inner]) > chance_limit(10, m, n)
        assert verdict(old, new) is Verdict.STABLE
    assert beyond <= 12


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, Verdict.STABLE), (0.45, Verdict.DRIFT), (2.0, Verdict.SEVERE)]
)
def test_a_shift_is_seen(shift: float, expected: Verdict) -> None:
    random = np.random.default_rng(3)
    reference = random.normal(size=5000)
    bins = Bins.of(reference)
    assert verdict(bins.count(reference), bins.count(random.normal(shift, size=2000))) is expected


def test_of_few_rows_nothing_is_said() -> None:
    assert verdict(counts(600, 0), counts(0, 499)) is Verdict.UNKNOWN
    assert verdict(counts(400, 0), counts(0, 900)) is Verdict.UNKNOWN
