import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import BY_NAME, ITEM_SIZE, NUMPY, DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import (
    check_size,
    count_bytes_elements,
    element_count,
    iterate_bytes_elements,
    serialise_bytes_elements,
)


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.BYTES])
def test_sizes_agree_with_numpy(dtype: DType) -> None:
    assert ITEM_SIZE[dtype] == NUMPY[dtype].itemsize
    assert BY_NAME[dtype.name] is dtype


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, -1), "negative"),
        ((2**40, 2**40), "too many"),
        ((2**40, 2**40, 0), "too many"),
        ((1,) * 33, "rank"),
    ],
)
def test_impossible_shapes_are_refused_before_anything_is_allocated(
    shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        element_count("x", shape)


def test_scalars_and_empty_tensors_count() -> None:
    assert element_count("x", ()) == 1
    assert element_count("x", (3, 0)) == 0


def test_a_wrong_size_is_told_with_both_numbers() -> None:
    check_size("x", DType.FP32, (2, 3), 24)
    with pytest.raises(InvalidInput, match=r"expecting 24 bytes for FP32 .* got 23"):
        check_size("x", DType.FP32, (2, 3), 23)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_strings_come_back_as_they_were(elements: list[bytes]) -> None:
    data = serialise_bytes_elements(elements)
    assert list(map(bytes, iterate_bytes_elements("x", data))) == elements
    count_bytes_elements("x", data, len(elements))


@given(st.binary(max_size=40), st.integers(0, 5))
def test_any_bytes_are_counted_or_refused(data: bytes, expected: int) -> None:
    try:
        count_bytes_elements("x", data, expected)
    except InvalidInput:
        return
    assert serialise_bytes_elements(map(bytes, iterate_bytes_elements("x", data))) == data


@pytest.mark.parametrize(
    ("data", "expected", "words"),
    [
        (struct.pack("<I", 5) + b"abc", 1, "runs past"),
        (struct.pack("<I", 2**31) + b"abc", 1, "runs past"),
        (struct.pack("<I", 1) + b"ab", 1, "stray"),
        (struct.pack("<I", 1) + b"a", 2, "expecting 2 BYTES elements, got 1"),
        ((struct.pack("<I", 0)) * 3, 2, "got more"),
    ],
)
def test_lying_lengths(data: bytes, expected: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        count_bytes_elements("x", data, expected)
