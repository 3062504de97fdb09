from __future__ import annotations

import math
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.frontends.v2_rest.halves import pack_halves, unpack_halves

EVERY = np.arange(1 << 16, dtype="<u2")
KINDS = {DType.FP16: np.dtype("<f2"), DType.BF16: np.dtype(ml_dtypes.bfloat16)}


@pytest.mark.parametrize("dtype", KINDS)
def test_every_value_there_is_survives(dtype):
    values = unpack_halves(dtype, EVERY.tobytes())
    with np.errstate(invalid="ignore"):  # some of them are signalling NaNs
        expected = EVERY.view(KINDS[dtype]).astype(float)
    assert np.array_equal(values, expected, equal_nan=True)
    numbers = ~np.isnan(expected)
    again = np.frombuffer(pack_halves(dtype, expected[numbers].tolist()), "<u2")
    assert np.array_equal(again, EVERY[numbers])


@pytest.mark.parametrize("dtype", KINDS)
@given(st.lists(st.floats(-60000, 60000) | st.integers(-60000, 60000), max_size=10))
def test_numbers_are_rounded_as_numpy_rounds_them(dtype, values):
    kind = KINDS[dtype]
    expected = np.array(values, float).astype("f8" if dtype is DType.FP16 else "f4").astype(kind)
    assert pack_halves(dtype, values) == expected.tobytes()


@pytest.mark.parametrize(
    ("dtype", "largest", "too_large"),
    [(DType.FP16, 65519.9, 65520.0), (DType.BF16, 3.3961e38, 3.397e38)],
)
def test_range(dtype, largest, too_large):
    for sign in (1, -1):
        (found,) = unpack_halves(dtype, pack_halves(dtype, [sign * largest]))
        assert math.isfinite(found)
        for wrong in (sign * too_large, sign * 10**400):
            with pytest.raises((OverflowError, struct.error)):
                pack_halves(dtype, [wrong])


@pytest.mark.parametrize("dtype", KINDS)
def test_what_is_no_finite_number(dtype):
    nan, low, high = unpack_halves(dtype, pack_halves(dtype, [math.nan, -math.inf, math.inf]))
    assert (math.isnan(nan), low, high) == (True, -math.inf, math.inf)
    with pytest.raises(struct.error):
        pack_halves(dtype, ["1"])
    assert (pack_halves(dtype, []), unpack_halves(dtype, b"")) == (b"", [])
