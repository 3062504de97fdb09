from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench.histogram import MAX_NS, Counted, Histogram, merge

DURATIONS = st.lists(st.integers(0, 10**12), min_size=1, max_size=200)


def _of(nanoseconds: list[int]) -> Histogram:
    histogram = Histogram()
    for value in nanoseconds:
        histogram.record(value / 1e9)
    return histogram


def _exact(nanoseconds: list[int], fraction: float) -> float:
    ordered = sorted(nanoseconds)
    rank = max(1, -int(-(fraction * len(ordered)) // 1))
    return ordered[min(rank, len(ordered)) - 1] / 1e9


@given(DURATIONS, st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 1.0]))
@settings(max_examples=200, deadline=None)
def test_percentiles_are_within_half_a_percent_of_exact_ones(values: list[int], fraction: float) -> None:
    exact = _exact(values, fraction)
    assert _of(values).percentile_s(fraction) == pytest.approx(exact, rel=0.005, abs=2e-9)


@given(DURATIONS)
@settings(max_examples=50, deadline=None)
def test_percentiles_ascend_and_stay_within_the_extremes(values: list[int]) -> None:
    histogram = _of(values)
    found = [histogram.percentile_s(fraction / 20) for fraction in range(21)]
    assert found == sorted(found)
    assert histogram.min_ns / 1e9 <= found[0]
    assert found[-1] == histogram.max_ns / 1e9


@given(DURATIONS, DURATIONS)
@settings(max_examples=50, deadline=None)
def test_merging_is_counting_together(left: list[int], right: list[int]) -> None:
    merged = merge([_of(left).freeze(), _of(right).freeze()])
    assert merged.freeze() == _of(left + right).freeze()
    assert merged.count == len(left) + len(right)


def test_a_counted_histogram_travels() -> None:
    counted = _of([1, 2, 3_000_000]).freeze()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(counted), type=Counted) == counted


def test_an_empty_histogram_has_zeros() -> None:
    histogram = merge([])
    assert (histogram.percentile_s(0.99), histogram.mean_s, histogram.count) == (0.0, 0.0, 0)


def test_what_is_out_of_range_is_counted_at_its_end() -> None:
    histogram = _of([-5, MAX_NS + 10**9])
    assert (histogram.min_ns, histogram.max_ns, histogram.count) == (0, MAX_NS, 2)
    assert histogram.mean_s == pytest.approx(MAX_NS / 2e9)
