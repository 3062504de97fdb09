from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor import Tensor
from gateway.telemetry.traced import Traced, TracedTensor


def told(tensor: Tensor, elements: int = 100) -> object:
    traced = Traced(7, "m", 2, "")
    traced.tensors.append(TracedTensor("TENSOR_QUEUE_INPUT", tensor, elements))
    return [*traced.objects()][-1]["tensor"]


def test_a_trace_as_objects() -> None:
    traced = Traced(7, "m", 2, "abc")
    traced.events += [("REQUEST_START", 5), ("REQUEST_END", 9)]
    assert json.loads(b"[" + traced.lines() + b"]") == [
        {"id": 7, "model_name": "m", "model_version": 2, "request_id": "abc"},
        {"id": 7, "timestamps": [{"name": "REQUEST_START", "ns": 5}]},
        {"id": 7, "timestamps": [{"name": "REQUEST_END", "ns": 9}]},
    ]


@pytest.mark.parametrize(
    ("dtype", "data", "text"),
    [
        (DType.FP32, np.array([1.5, -2], "<f4").tobytes(), "1.5,-2.0"),
        (DType.INT64, np.array([1 << 60, -2], "<i8").tobytes(), "1152921504606846976,-2"),
        (DType.BF16, np.array([0x3FC0, 0xC000], "<u2").tobytes(), "1.5,-2.0"),
        (DType.BOOL, b"\1\0", "True,False"),
        (DType.BYTES, b"\2\0\0\0hi\1\0\0\0\xff", "hi,\ufffd"),
    ],
)
def test_a_tensor_is_told_with_its_values(dtype: DType, data: bytes, text: str) -> None:
    found = told(Tensor("x", dtype, (1, 2), memoryview(data)))
    assert found == {"name": "x", "data": text, "shape": "1,2", "dtype": dtype.name}


def test_of_a_large_tensor_the_first_elements_are_told() -> None:
    found = told(Tensor("x", DType.INT8, (5,), bytes([1, 2, 3, 4, 5])), 2)
    assert found == {"name": "x", "data": "1,2", "shape": "5", "dtype": "INT8", "data_elements": 2}
    found = told(Tensor("x", DType.INT8, (5,), bytes(5)), 0)
    assert found == {"name": "x", "data": "", "shape": "5", "dtype": "INT8", "data_elements": 0}
    long = b"\xe8\3\0\0" + b"a" * 1000
    found = told(Tensor("x", DType.BYTES, (1,), long), 3)
    assert found == {"name": "x", "data": "", "shape": "1", "dtype": "BYTES", "data_elements": 0}
