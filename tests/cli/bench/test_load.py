from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench.load import Share, arrival_times, shared


@given(st.integers(0, 10**9), st.integers(1, 64))
@settings(max_examples=50, deadline=None)
def test_shares_sum_up_and_differ_by_one_at_most(total: int, processes: int) -> None:
    parts = [shared(total, Share(number, processes)) for number in range(processes)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


@given(st.integers(1, 8), st.floats(0.5, 1e5))
@settings(max_examples=50, deadline=None)
def test_constant_arrivals_of_all_processes_make_one_even_beat(processes: int, rate: float) -> None:
    times = sorted(
        due
        for number in range(processes)
        for due in islice(arrival_times("constant", rate, 100.0, Share(number, processes), 1), 20)
    )
    assert times[0] == 100.0
    assert all(after - before == pytest.approx(1 / rate, abs=1e-9) for before, after in pairwise(times))


def test_constant_arrivals_do_not_drift() -> None:
    times = arrival_times("constant", 3.0, 0.0, Share(0, 1), 1)
    assert next(islice(times, 3_000_000, None)) == 1_000_000.0


@pytest.mark.parametrize("processes", [1, 4])
def test_poisson_arrivals_have_their_rate_and_their_spread(processes: int) -> None:
    times = list(islice(arrival_times("poisson", 1000.0, 0.0, Share(0, processes), 7), 20_000))
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(processes / 1000.0, rel=0.03)
    # An exponential distribution's deviation is its mean.
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


def test_poisson_arrivals_repeat_by_seed_and_differ_by_process() -> None:
    def first(number: int, seed: int) -> list[float]:
        return list(islice(arrival_times("poisson", 10.0, 5.0, Share(number, 2), seed), 5))

    assert first(0, 1) == first(0, 1)
    assert first(0, 1) != first(1, 1)
    assert first(0, 1) != first(0, 2)
    assert first(0, 1)[0] > 5.0
