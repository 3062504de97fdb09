from __future__ import annotations

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.runtimes.triton_python.tensors import (
    Tensor,
    config_name,
    deserialize_bytes_tensor,
    numpy_to_triton_type,
    parse_config_name,
    serialize_byte_tensor,
    triton_string_to_numpy,
    triton_to_numpy_type,
)


@pytest.mark.parametrize("dtype", DType)
def test_names_come_back(dtype: DType) -> None:
    assert parse_config_name(config_name(dtype)) is dtype


@pytest.mark.parametrize("text", ["FP32", "TYPE_BYTES", "TYPE_NEW", "TYPE_INVALID", "", 11, None])
def test_what_is_no_datatype(text: object) -> None:
    assert parse_config_name(text) is None


@pytest.mark.parametrize(
    ("name", "numpy", "number"),
    [
        ("TYPE_BOOL", np.bool_, 1),
        ("TYPE_UINT8", np.uint8, 2),
        ("TYPE_INT64", np.int64, 9),
        ("TYPE_FP16", np.float16, 10),
        ("TYPE_FP32", np.float32, 11),
        ("TYPE_STRING", np.object_, 13),
    ],
)
def test_numbers_and_types(name: str, numpy: type, number: int) -> None:
    assert np.dtype(triton_string_to_numpy(name)) == np.dtype(numpy)
    assert numpy_to_triton_type(numpy) == number
    assert triton_to_numpy_type(number) is numpy


def test_types_that_numpy_lacks() -> None:
    for name in ("TYPE_BF16", "TYPE_INVALID"):
        with pytest.raises(KeyError):
            triton_string_to_numpy(name)
    assert triton_to_numpy_type(14) is None
    assert numpy_to_triton_type(np.complex64) is None
    assert numpy_to_triton_type(bool) == 1
    assert numpy_to_triton_type(np.dtype("f4")) == 11
    assert triton_string_to_numpy("TYPE_BOOL") is bool


def test_bytes_as_they_travel() -> None:
    raw = b"\x01\0\0\0a\x02\0\0\0\xc3\xbc"
    assert serialize_byte_tensor(np.array([[b"a", "\u00fc"]], object)) == raw
    assert serialize_byte_tensor(np.array([], object)) == b""
    assert deserialize_bytes_tensor(raw).tolist() == [b"a", "\u00fc".encode()]


def test_a_tensor() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    tensor = Tensor("X", array)
    assert (tensor.name(), tensor.shape(), tensor.triton_dtype(), tensor.is_cpu()) == ("X", [2, 3], 8, True)
    assert tensor.as_numpy() is array
    with pytest.raises(TypeError, match="tensor 'X' is made from a numpy array, not list"):
        Tensor("X", [1])


def test_dlpack_shares_memory_both_ways() -> None:
    array = np.arange(6, dtype=np.int32)
    for source in (array, Tensor("X", array), Tensor("X", array).to_dlpack()):
        found = Tensor.from_dlpack("Y", source)
        assert found.name() == "Y"
        assert np.shares_memory(found.as_numpy(), array)
