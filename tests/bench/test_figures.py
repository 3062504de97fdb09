from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import Direction, Measure, Target, paired_ratios, percentile, ratio

FINITE = st.floats(min_value=0.1, max_value=1e6)


def test_a_measure_of_no_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Measure(())


@pytest.mark.parametrize(
    ("rounds", "median", "low", "high", "spread"),
    [((5.0,), 5.0, 5.0, 5.0, 0.0), ((3.0, 1.0, 2.0), 2.0, 1.0, 3.0, 1.0), ((0.0, 0.0), 0.0, 0.0, 0.0, 0.0)],
)
def test_median_and_spread(
    rounds: tuple[float, ...], median: float, low: float, high: float, spread: float
) -> None:
    measure = Measure(rounds)
    assert (measure.median, measure.low, measure.high, measure.spread) == (median, low, high, spread)


def test_the_ratio_is_of_medians_and_the_pairs_are_of_rounds() -> None:
    ours, theirs = Measure((10.0, 40.0, 20.0)), Measure((5.0, 10.0, 4.0))
    assert ratio(ours, theirs) == 4.0
    assert paired_ratios(ours, theirs) == (2.0, 4.0, 5.0)


def test_rounds_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ratios(Measure((1.0, 2.0)), Measure((1.0,)))


@pytest.mark.parametrize(
    ("direction", "below", "at", "above"),
    [
        (Direction.AT_LEAST, False, True, True),
        (Direction.AT_MOST, True, True, False),
        (Direction.BELOW, True, False, False),
    ],
)
def test_a_target_says_which_side_is_good(direction: Direction, below: bool, at: bool, above: bool) -> None:
    target = Target(direction, 4.0, "x")
    assert [target.is_reached_by(figure) for figure in (3.9, 4.0, 4.1)] == [below, at, above]
    assert str(target) == f"{direction.value} 4 x"


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (0.999, 100.0), (1.0, 100.0)]
)
def test_nearest_rank_percentiles_of_a_hundred(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], share) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@given(values=st.lists(FINITE, min_size=1, max_size=50), share=st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_with_its_share_at_or_below(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    at_or_below = sum(value <= found for value in ordered)
    assert at_or_below >= round(share * 10_000) / 10_000 * len(ordered) - 1e-9
