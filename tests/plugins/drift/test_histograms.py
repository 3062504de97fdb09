from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.drift.histograms import Bins


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=60))
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    array = np.array(values, np.float64)
    bins = Bins.of(array)
    counts = bins.count(array)
    assert counts.sum() == len(array)
    assert counts[-1] == (~np.isfinite(array)).sum()
    assert counts[-2] == 0 or not np.isfinite(array).any()


def test_equal_shares_and_what_lies_outside() -> None:
    bins = Bins.of(np.arange(1000, dtype=np.float64))
    assert bins.size == 12
    counts = bins.count(np.array([-1.0, 0.0, 999.0, 1000.0, np.nan]))
    assert (counts[0], counts[9], counts[-2], counts[-1]) == (1, 1, 2, 1)
    assert set(bins.count(np.arange(1000, dtype=np.float64))[:10]) == {100}


def test_values_that_are_all_the_same() -> None:
    bins = Bins.of(np.full(100, 3.0))
    assert bins.count(np.array([3.0, 2.0])).tolist()[-2:] == [1, 0]


def test_bins_come_back_from_their_document() -> None:
    bins = Bins.of(np.arange(100, dtype=np.float64))
    again = Bins.read(json.loads(json.dumps(bins.document())))
    values = np.array([-5.0, 5.0, 50.0, 500.0])
    assert again.count(values).tolist() == bins.count(values).tolist()
    with pytest.raises(ValueError, match="ascend"):
        Bins.read({"edges": [2.0, 1.0], "low": 0.0, "high": 1.0})
