from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Tensor
from gateway.frontends.v2_rest.binary import (
    Slot,
    check_header_length,
    fill_slots,
    parse_header_length,
    read_slot,
)

JSON_TENSOR = Tensor("j", DType.INT8, (1,), b"\1")


def test_header_length():
    assert parse_header_length(b"17") == 17
    for wrong in (b"", b"-1", b"1.0", b"x", b"99999999999", b"2147483648", b"\xff", b" 1"):
        with pytest.raises(InvalidInput, match="Unable to parse Inference-Header-Content-Length"):
            parse_header_length(wrong)


def test_header_length_against_the_body():
    check_header_length(5, 5)
    with pytest.raises(InvalidInput, match=r"in range \(0, 5\), got: 6"):
        check_header_length(6, 5)
    check_header_length(0, 5)


@pytest.mark.parametrize("size", [-1, 1.0, True, "4", None, 3, 5])
def test_a_slot_has_the_size_of_its_shape(size):
    with pytest.raises(InvalidInput, match="'x'"):
        read_slot("x", DType.FP32, (1,), 1, size)


def test_slots_are_filled_in_order_around_json_tensors():
    places = (Slot("a", DType.INT8, (2,), 2, 2), JSON_TENSOR, Slot("b", DType.INT16, (1,), 1, 2))
    tensors = fill_slots("m", places, b"{}\1\2\3\4", 2)
    assert [(tensor.name, bytes(tensor.data)) for tensor in tensors] == [
        ("a", b"\1\2"),
        ("j", b"\1"),
        ("b", b"\3\4"),
    ]


def test_large_tensors_are_views_of_the_body():
    body = bytearray(10_000)
    (tensor,) = fill_slots("m", (Slot("a", DType.INT8, (9_990,), 9_990, 9_990),), body, 10)
    body[10] = 7
    assert isinstance(tensor.data, memoryview)
    assert tensor.data[0] == 7


def test_too_short_and_too_long_name_what_is_missing():
    slots = (Slot("a", DType.INT8, (4,), 4, 4),)
    with pytest.raises(InvalidInput, match="input 'a', expecting 3 additional bytes for model 'm'"):
        fill_slots("m", slots, b"x", 0)
    with pytest.raises(InvalidInput, match="unexpected additional input data for model 'm'"):
        fill_slots("m", slots, b"12345", 0)


@pytest.mark.parametrize(
    "data", [b"\1\0\0\0", b"\1\0\0\0ab", b"\xff\xff\xff\xffa", b"\0\0\0\0\0\0\0\0", b"", b"\1\0\0"]
)
def test_bytes_elements_are_checked(data):
    with pytest.raises(InvalidInput, match="'s'"):
        fill_slots("m", (Slot("s", DType.BYTES, (1,), 1, len(data)),), data, 0)
