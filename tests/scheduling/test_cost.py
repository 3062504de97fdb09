"""The cost of batches: found, followed, and never nonsense."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduling.cost import CostFit


def fed(sizes: list[int], cost: Callable[[int], float], fit: CostFit | None = None) -> CostFit:
    fit = fit or CostFit()
    for rows in sizes:
        fit.ran(rows, cost(rows))
    return fit


def test_nothing_is_known_before_the_third_batch() -> None:
    fit = fed([1, 1], lambda rows: 9.0)
    assert (fit.per_row_s, fit.per_batch_s) == (0.0, 0.0)


@pytest.mark.parametrize(("a", "b"), [(0.0002, 0.002), (0.001, 0.0), (0.0, 0.005), (0.05, 1.0)])
def test_a_line_is_found_in_noise(a: float, b: float) -> None:
    chance = random.Random(7)
    fit = fed([chance.randint(1, 32) for _ in range(400)], lambda n: (a * n + b) * chance.uniform(0.95, 1.05))
    assert fit.per_row_s * 16 + fit.per_batch_s == pytest.approx(a * 16 + b, rel=0.03)
    assert fit.per_row_s == pytest.approx(a, rel=0.1, abs=b / 200)


def test_one_size_alone_says_nothing_of_the_slope_and_another_one_soon_does() -> None:
    fit = fed([4] * 300, lambda rows: 0.001 * rows + 0.004)
    assert fit.per_row_s * 4 + fit.per_batch_s == pytest.approx(0.008)
    assert fit.per_batch_s < 1e-6, "nobody is to wait for what is not known"
    fed([8, 4] * 10, lambda rows: 0.001 * rows + 0.004, fit)
    assert fit.per_row_s == pytest.approx(0.001, rel=0.05)
    fed([8] * 1000, lambda rows: 0.001 * rows + 0.004, fit)
    assert fit.per_row_s == pytest.approx(0.001, rel=0.05), "what was learned of it stays"


def test_a_model_that_became_slower_is_followed() -> None:
    sizes = [1, 4, 8, 2] * 100
    fit = fed(sizes, lambda rows: 0.001 * rows + 0.001)
    fed(sizes, lambda rows: 0.01 * rows + 0.02, fit)
    assert fit.per_row_s == pytest.approx(0.01, rel=0.02)
    assert fit.per_batch_s == pytest.approx(0.02, rel=0.02)


def test_a_run_that_was_stopped_moves_the_estimate_by_little() -> None:
    fit = fed([1, 4, 8, 2] * 50, lambda rows: 0.001 * rows + 0.001)
    fit.ran(4, 50.0)
    assert fit.per_row_s * 4 + fit.per_batch_s < 0.007


@given(st.lists(st.tuples(st.integers(1, 256), st.floats(-1.0, 1e6)), max_size=60))
def test_no_costs_make_an_estimate_that_is_none(runs: list[tuple[int, float]]) -> None:
    fit = CostFit()
    for rows, seconds in runs:
        fit.ran(rows, seconds)
        assert 0 <= fit.per_row_s <= 60
        assert 0 <= fit.per_batch_s <= 60
