"""Never more than the rate and one burst, and what is promised is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.limits.bucket import FULL, Bucket

RATES = st.floats(0.01, 1e5)
BURSTS = st.floats(1.0, 50.0)
# A clock may have run for months.
STARTS = st.sampled_from([0.0, 1.0, 12_345.678, 3e7])
PAUSES = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=80)


def admitted(bucket: Bucket, times: list[float]) -> list[float]:
    """The times of those who got a token, where somebody asks at each of `times`."""
    full_at, taken = FULL, []
    for now in times:
        if not bucket.wait_s(full_at, now):
            full_at = bucket.taken(full_at, now)
            taken.append(now)
    return taken


def times_of(start: float, pauses: list[float], scale: float) -> list[float]:
    times, now = [], start
    for pause in pauses:
        now += pause * scale
        times.append(now)
    return times


@given(RATES, BURSTS, STARTS, PAUSES)
def test_no_window_has_more_than_the_rate_and_one_burst(
    rate: float, burst: float, start: float, pauses: list[float]
) -> None:
    taken = admitted(Bucket.of(rate, burst), times_of(start, pauses, 1.0 / rate))
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= rate * (taken[last] - began + 2e-6) + burst + 1e-6


@given(RATES, BURSTS, STARTS, PAUSES)
def test_whoever_waits_as_told_is_let_in_and_not_before(
    rate: float, burst: float, start: float, pauses: list[float]
) -> None:
    bucket, full_at = Bucket.of(rate, burst), FULL
    for now in times_of(start, pauses, 0.3 / rate):
        wait_s = bucket.wait_s(full_at, now)
        if wait_s:
            assert not bucket.wait_s(full_at, now + wait_s)
            assert bucket.wait_s(full_at, now + wait_s / 2 - 1e-6)
        else:
            full_at = bucket.taken(full_at, now)


@pytest.mark.parametrize(
    ("rate", "burst", "times", "let_in"),
    [
        (1.0, 1.0, [0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 1.0, 2.0]),
        (1.0, 3.0, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]),
        (0.1, 1.0, [0.0, 9.0, 10.0], [0.0, 10.0]),
        (2.0, 2.0, [0.0, 0.0, 100.0, 100.0, 100.0], [0.0, 0.0, 100.0, 100.0]),
        (1.0, 1.5, [0.0, 0.4, 0.5, 1.4, 1.5], [0.0, 0.5, 1.5]),
    ],
)
def test_who_is_let_in(rate: float, burst: float, times: list[float], let_in: list[float]) -> None:
    assert admitted(Bucket.of(rate, burst), times) == let_in


def test_steady_demand_gets_the_whole_rate() -> None:
    taken = admitted(Bucket.of(100.0, 1.0), [tick / 1000.0 for tick in range(10_000)])
    assert len(taken) == 1000


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.5)])
def test_what_is_no_bucket_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="a bucket needs"):
        Bucket.of(rate, burst)
