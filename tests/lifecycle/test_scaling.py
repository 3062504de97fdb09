"""The autoscaler's arithmetic, against numbers worked out by Knative's formulas by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lifecycle.scaling import (
    LEAST_TARGET,
    Bounds,
    Rules,
    Sample,
    ScaleState,
    average,
    decide,
    observed,
    target_of,
)

RULES = Rules(target=10.0)
WIDE = Bounds(0, 1000, 300.0)


def state_of(*levels: float, now: float = 60.0, **fields: object) -> ScaleState:
    """One sample a second, the last one now."""
    samples = tuple(Sample(now - len(levels) + 1 + i, level) for i, level in enumerate(levels))
    return ScaleState(samples)._replace(**fields)


@pytest.mark.parametrize(
    ("levels", "ready", "desired", "is_panicking"),
    [
        # What is steady: ceil(average / target).
        ([10.0] * 60, 1, 1, False),
        ([10.1] * 60, 1, 2, True),  # 2 wanted of 1 there: twice, so it panics
        ([25.0] * 60, 2, 3, False),
        ([100.0] * 60, 10, 10, False),
        ([0.0] * 60, 1, 0, False),
        # Down by half at the most: floor(ready / 2).
        ([10.0] * 60, 10, 5, False),
        ([10.0] * 60, 3, 1, False),
        # A burst: the panic window (6 s) has 100, the stable one 10 on average.
        ([0.0] * 54 + [100.0] * 6, 1, 10, True),
        # ceil(10/10)=1 and ceil(19/10)=2 of 2 there: no panic.
        ([9.0] * 54 + [19.0] * 6, 2, 1, False),
        # Up by the rate at the most.
        ([100_000.0] * 60, 1, 1000, True),
    ],
)
def test_decisions(levels: list[float], ready: int, desired: int, is_panicking: bool) -> None:
    found = decide(60.0, state_of(*levels), ready, RULES, WIDE, unused_s=None)
    assert (found.desired, found.is_panicking) == (desired, is_panicking)


def test_a_panic_never_takes_away_and_ends_after_a_stable_window() -> None:
    burst = decide(60.0, state_of(*[100.0] * 6), 1, RULES, WIDE, unused_s=None)
    assert (burst.desired, burst.is_panicking) == (10, True)
    state = burst.state
    for second in range(61, 121):
        state = observed(state, float(second), 0.0, RULES)
        calm = decide(float(second), state, 10, RULES, WIDE, unused_s=None)
        state = calm.state
        assert calm.desired == 10, "it panics still"
    state = observed(state, 121.0, 0.0, RULES)
    over = decide(121.0, state, 10, RULES, WIDE, unused_s=None)
    assert (over.desired, over.is_panicking) == (5, False)


def test_fewer_must_have_sufficed_for_the_delay() -> None:
    rules = RULES._replace(scale_down_delay_s=30.0)
    state = ScaleState()
    for second in range(60):
        state = observed(state, float(second), 40.0, rules)
        found = decide(float(second), state, 4, rules, WIDE, unused_s=None)
        state = found.state
    desired = []
    for second in range(60, 160):
        state = observed(state, float(second), 0.0, rules)
        found = decide(float(second), state, 4, rules, WIDE, unused_s=None)
        state = found.state
        desired.append(found.desired)
    falls_at = desired.index(2)
    assert set(desired[:falls_at]) <= {4, 3}
    # The average falls below 20 after half a window, and for 30 s that must have been so.
    assert 55 <= falls_at <= 65


@pytest.mark.parametrize(
    ("bounds", "unused_s", "desired"),
    [
        (Bounds(1, 5, 300.0), None, 1),
        (Bounds(1, 5, 300.0), 299.0, 1),
        (Bounds(1, 5, 300.0), 300.0, 0),
        (Bounds(1, 5, -1.0), 1e9, 1),
        (Bounds(1, 5, 0.0), 0.0, 0),
        (Bounds(2, 5, 300.0, may_be_zero=False), 1e9, 2),
    ],
)
def test_to_zero_by_time_alone(bounds: Bounds, unused_s: float | None, desired: int) -> None:
    assert decide(60.0, state_of(*[0.0] * 60), 1, RULES, bounds, unused_s=unused_s).desired == desired


def test_averages_are_over_what_there_is() -> None:
    state = state_of(1.0, 3.0)
    assert average(state.samples, 60.0, 60.0) == 2.0
    assert average(state.samples, 60.0, 1.0) == 3.0
    assert average((), 60.0, 60.0) == 0.0


def test_targets() -> None:
    assert target_of(100.0, 0.7) == 70.0
    assert target_of(0.001, 0.7) == LEAST_TARGET


LEVELS = st.lists(st.floats(0, 5000), min_size=1, max_size=70)


@given(LEVELS, st.integers(0, 50), st.integers(1, 8), st.integers(0, 20))
def test_it_keeps_within_its_bounds(levels: list[float], ready: int, low: int, more: int) -> None:
    bounds = Bounds(low, low + more, 300.0)
    found = decide(60.0, state_of(*levels), ready, RULES, bounds, unused_s=None)
    assert low <= found.desired <= low + more


@given(LEVELS, st.floats(0, 1000), st.integers(1, 50))
def test_more_load_never_means_fewer(levels: list[float], extra: float, ready: int) -> None:
    less = decide(60.0, state_of(*levels), ready, RULES, WIDE, unused_s=None)
    more = decide(60.0, state_of(*[one + extra for one in levels]), ready, RULES, WIDE, unused_s=None)
    assert more.desired >= less.desired


@given(st.lists(st.floats(0, 2000), min_size=2, max_size=200))
def test_while_it_panics_it_never_takes_away(levels: list[float]) -> None:
    state, ready = ScaleState(), 1
    for second, level in enumerate(levels):
        state = observed(state, float(second), level, RULES)
        found = decide(float(second), state, ready, RULES, WIDE, unused_s=None)
        if found.is_panicking:
            assert found.desired >= ready
        state, ready = found.state, max(1, found.desired)
        assert len(state.samples) <= 60
