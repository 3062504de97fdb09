from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import NUMPY, DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.remote.faults import Fault
from gateway.runtimes.remote.tensors import check_dtype, from_bytes, in_order, shape_of, to_bytes

TEXTS = TensorSpec("T", DType.BYTES, (-1,))
FLOATS = TensorSpec("F", DType.FP32, (-1,))


@pytest.mark.parametrize("dtype", sorted(NUMPY))
def test_numbers_come_back(dtype: DType) -> None:
    array = np.arange(6).reshape(2, 3).astype(NUMPY[dtype])
    spec = TensorSpec("X", dtype, (2, 3))
    back = from_bytes(spec, (2, 3), to_bytes(array, dtype))
    assert back.dtype == NUMPY[dtype]
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(from_bytes(spec, (3, 2), to_bytes(array.T, dtype)), array.T)


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_texts_come_back(elements: list[bytes]) -> None:
    array = np.empty(len(elements), object)
    array[:] = elements
    back = from_bytes(TEXTS, (len(elements),), to_bytes(array, DType.BYTES))
    assert back.tolist() == elements


@given(st.binary(max_size=64), st.integers(0, 1 << 40))
def test_no_bytes_make_more_than_they_hold(data: bytes, count: int) -> None:
    for spec in (TEXTS, FLOATS):
        with suppress(Fault):
            assert from_bytes(spec, (count,), data).size == count <= len(data) // 4


@pytest.mark.parametrize(
    "shape", [None, "3", [1.5], [True], ["1"], [-1], [1 << 40, 1 << 40], [1] * 33, [1 << 62, 0, 4]]
)
def test_shapes_of_answers_are_checked(shape: object) -> None:
    with pytest.raises(Fault):
        shape_of("X", shape)
    assert shape_of("X", [2, 0]) == (2, 0)


def test_datatypes_and_missing_outputs_are_noticed() -> None:
    check_dtype(FLOATS, "FP32")
    for wrong in ("FP64", "float32", None, 3, ["FP32"]):
        with pytest.raises(Fault, match="'F' is not FP32"):
            check_dtype(FLOATS, wrong)
    one, two = np.zeros(1), np.ones(1)
    assert in_order({"T": one, "F": two, "Z": one}, [FLOATS, TEXTS]) == [two, one]
    with pytest.raises(Fault, match="lacks output 'T'"):
        in_order({"F": two}, [FLOATS, TEXTS])
