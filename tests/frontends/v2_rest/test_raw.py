from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.raw import decode_raw, encode_raw
from tests.fakes.inference import FRAUD


def read(body, *inputs, max_batch_size=0):
    spec = msgspec.structs.replace(FRAUD, inputs=inputs, max_batch_size=max_batch_size)
    return decode_raw(spec, Target("fraud", 3), body, None, lambda: 0.0)


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "deduced"),
    [
        (DType.FP32, (2, 3), 24, (2, 3)),
        (DType.FP32, (-1, 3), 24, (2, 3)),
        (DType.FP32, (2, -1), 0, (2, 0)),
        (DType.INT8, (-1,), 7, (7,)),
        (DType.UINT16, (), 2, ()),
    ],
)
@pytest.mark.parametrize("max_batch_size", [0, 4])
def test_shapes(dtype, shape, size, deduced, max_batch_size):
    request = read(bytes(size), TensorSpec("x", dtype, shape), max_batch_size=max_batch_size)
    assert request.inputs == (Tensor("x", dtype, (1, *deduced) if max_batch_size else deduced, bytes(size)),)
    assert (request.model, request.version, request.outputs) == ("fraud", 3, ())


@given(
    st.sampled_from([dtype for dtype in DType if ITEM_SIZE[dtype]]),
    st.lists(st.integers(-1, 4), max_size=4),
    st.integers(0, 200),
)
def test_the_body_is_always_exactly_the_tensor(dtype, shape, size):
    try:
        (tensor,) = read(bytes(size), TensorSpec("x", dtype, tuple(shape))).inputs
    except InvalidInput:
        return
    count = 1
    for dim in tensor.shape:
        count *= dim
    assert count * ITEM_SIZE[dtype] == len(tensor.data) == size


def test_text_is_one_element():
    (tensor,) = read(b"hello", TensorSpec("x", DType.BYTES, (1,)), max_batch_size=2).inputs
    assert (tensor.shape, tensor.data) == ((1, 1), b"\5\0\0\0hello")


X = TensorSpec("x", DType.FP32, (-1, 3))


@pytest.mark.parametrize(
    ("inputs", "size", "text"),
    [
        (
            (X, X, X),
            12,
            "Raw request must only have 1 input (found 1) to be deduced but got 3 inputs in 'fraud'",
        ),
        (
            (TensorSpec("x", DType.FP32, (-1, -1)),),
            12,
            "The shape of the raw input 'x' can not be deduced because there are more than one",
        ),
        ((X,), 13, "13 bytes are no multiple of 12"),
        ((TensorSpec("x", DType.FP32, (-1, 0)),), 0, "no multiple of 0"),
        ((TensorSpec("x", DType.FP32, (3,)),), 13, "expecting 12 bytes"),
        ((TensorSpec("x", DType.BYTES, (2,)),), 1, "For BYTE datatype raw input 'x'"),
        ((TensorSpec("x", DType.BYTES, (-1,)),), 1, "For BYTE datatype raw input 'x'"),
    ],
)
def test_what_cannot_be_deduced_is_told(inputs, size, text):
    with pytest.raises(InvalidInput) as error:
        read(bytes(size), *inputs)
    assert text in error.value.text


def test_the_answer_is_all_binary():
    response = InferResponse("m", 1, (Tensor("y", DType.INT8, (2,), b"\1\2"),))
    (head, data), headers = encode_raw(response)
    assert dict(headers)[b"inference-header-content-length"] == b"%d" % len(head)
    assert (json.loads(head)["outputs"][0]["parameters"], data) == ({"binary_data_size": 2}, b"\1\2")
    body, headers = encode_raw(InferResponse("m", 1, (Tensor("y", DType.INT8, (0,), b""),)))
    assert json.loads(body)["outputs"][0]["parameters"] == {"binary_data_size": 0}
    assert headers == ((b"content-type", b"application/json"),)
