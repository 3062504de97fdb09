from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import NUMPY, DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.v2_rest.elements import dump_elements, layout, pack_elements, read_layout

NUMBERS = [dtype for dtype in NUMPY if dtype not in {DType.FP16, DType.BF16}]


def pack(dtype, shape, data):
    return pack_elements("x", layout(dtype, tuple(shape)), data)


@pytest.mark.parametrize("dtype", NUMBERS)
@given(data=st.data())
@settings(max_examples=30)
def test_every_number_survives_the_way_in_and_out(dtype, data):
    kind = NUMPY[dtype]
    if dtype is DType.BOOL:
        element = st.booleans()
    elif kind.kind == "f":
        element = st.floats(width=kind.itemsize * 8, allow_nan=False, allow_infinity=False)
    else:
        info = np.iinfo(kind)
        element = st.integers(int(info.min), int(info.max))
    values = data.draw(st.lists(element, max_size=20))
    packed = pack(dtype.name, [len(values)], values)
    assert packed == np.array(values, dtype=kind).tobytes()
    assert json.loads(dump_elements(Tensor("x", dtype, (len(values),), packed))) == values


def test_large_tensors_take_the_same_way():
    values = [index / 7 for index in range(10_000)]
    packed = pack("FP32", [10_000], values)
    assert packed == np.array(values, dtype="<f4").tobytes()
    assert json.loads(dump_elements(Tensor("x", DType.FP32, (10_000,), packed))) == list(
        np.frombuffer(packed, "<f4").astype(float)
    )


@pytest.mark.parametrize("dtype", NUMBERS)
def test_an_empty_tensor(dtype):
    assert pack(dtype.name, [0], []) == b""
    assert dump_elements(Tensor("x", dtype, (0,), b"")) == b"[]"


def test_what_json_cannot_say_is_written_as_triton_writes_it():
    values = struct.pack("<3f", math.nan, math.inf, -math.inf)
    assert dump_elements(Tensor("x", DType.FP32, (3,), values)) == b"[NaN,Infinity,-Infinity]"


def test_strings():
    packed = pack("BYTES", [2], ["héé", ""])
    assert packed == b"\x05\0\0\0h\xc3\xa9\xc3\xa9\0\0\0\0"
    assert dump_elements(Tensor("x", DType.BYTES, (2,), packed)) == '["héé",""]'.encode()


def test_bytes_that_are_no_text_ask_for_the_binary_format():
    with pytest.raises(InvalidInput, match="binary data format"):
        dump_elements(Tensor("x", DType.BYTES, (1,), serialise_bytes_elements([b"\xff"])))


@pytest.mark.parametrize("name", ["FP16", "BF16"])
def test_half_precision(name):
    packed = pack(name, [2, 2], [[1, -1.5], [0.25, math.inf]])
    assert dump_elements(Tensor("x", DType[name], (2, 2), packed)) == b"[1.0,-1.5,0.25,Infinity]"
    for wrong in (True, "1", None, 1e39, 10**400):
        with pytest.raises(InvalidInput, match=f"'x': every element of {name} must be a number of at most"):
            pack(name, [1], [wrong])


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [1, 2, 3, 4]),
        ([2, 2], [[1, 2], [3, 4]]),
        ([1, 2, 2], [[[1, 2], [3, 4]]]),
        ([4, 1], [[1], [2], [3], [4]]),
    ],
)
def test_flat_and_nested_are_the_same(shape, data):
    assert pack("INT8", shape, data) == b"\1\2\3\4"


@pytest.mark.parametrize(
    ("name", "shape", "data"),
    [
        ("INT8", [2, 2], [[1, 2], [3]]),
        ("INT8", [2, 2], [[1, 2], 3]),
        ("INT8", [2, 2], [1, [2], 3, 4]),
        ("INT8", [2, 2], [[1, 2, 3, 4]]),
        ("INT8", [4], [[1, 2], [3, 4]]),
        ("INT8", [2, 2], [[[1], [2]], [[3], [4]]]),
        ("INT8", [], [[1]]),
        ("INT8", [2], [1, 2, 3]),
        ("INT8", [4], [1, 2, 3]),
        ("INT8", [1], [128]),
        ("UINT8", [1], [-1]),
        ("UINT64", [1], [1 << 64]),
        ("INT64", [1], [1 << 63]),
        ("INT64", [1], [1.0]),
        ("INT32", [1], [True]),
        ("FP32", [1], [True]),
        ("FP32", [1], ["1"]),
        ("FP32", [1], [None]),
        ("FP32", [1], [1e39]),
        ("FP64", [1], [10**400]),
        ("BOOL", [1], [1]),
        ("BOOL", [1], [2]),
        ("BYTES", [1], [1]),
        ("BYTES", [1], ["\ud800"]),
        ("BYTES", [1], [{}]),
        ("FP32", [1], 1.0),
        ("FP32", [1], "1"),
        ("FP32", [1], {}),
        ("FP32", [1], None),
    ],
)
def test_what_does_not_fit_is_refused_with_the_inputs_name(name, shape, data):
    with pytest.raises(InvalidInput, match="'x'"):
        pack(name, shape, data)


@pytest.mark.parametrize(
    ("datatype", "shape"),
    [
        ("FP31", [1]),
        (None, [1]),
        (5, [1]),
        ("FP32", None),
        ("FP32", "1"),
        ("FP32", [1.0]),
        ("FP32", [True]),
        ("FP32", ["1"]),
        ("FP32", [-1]),
        ("FP32", [1 << 40, 1 << 40]),
        ("FP32", [1 << 40, 1 << 40, 0]),
        ("FP32", [10**400]),
        ("FP32", [1] * 33),
    ],
)
def test_a_wrong_layout_names_the_input(datatype, shape):
    with pytest.raises(InvalidInput, match="'x'"):
        read_layout("x", datatype, shape)
