from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import NUMPY, DType
from gateway.core.errors import InvalidInput, ModelFailed
from gateway.core.messages import NO_PARAMETERS, InferResponse, RequestedOutput
from gateway.core.model import ModelSpec
from gateway.core.tensor import Tensor, iterate_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.pipeline.classification import classified, highest, top_classes
from tests.fakes.specs import CountedLease

LABELS = {"y": ("cat", "", "dog")}


def spec(dtype=DType.FP32, *, max_batch_size=8, labels=LABELS):
    return ModelSpec(
        "m", 1, "p", "b", (), (TensorSpec("y", dtype, (-1,)), TensorSpec("z", DType.BYTES, (1,))),
        max_batch_size=max_batch_size, class_labels=labels,
    )  # fmt: skip


def tensor(values, dtype=DType.FP32):
    array = np.array(values, NUMPY[dtype])
    return Tensor("y", dtype, array.shape, array.tobytes())


def texts(found):
    return [bytes(element).decode() for element in iterate_bytes_elements("y", found.data)]


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [
        ([[0.1, 0.7, 0.2, 0.0]], 2, ["0.700000:1", "0.200000:2:dog"]),
        ([[3.0, 1.0, 2.0]], 9, ["3.000000:0:cat", "2.000000:2:dog", "1.000000:1"]),
        ([[1.0, 2.0], [4.0, 3.0]], 1, ["2.000000:1", "4.000000:0:cat"]),
        ([[5.0, 5.0, 5.0, 5.0]], 2, ["5.000000:0:cat", "5.000000:1"]),
        ([[np.nan, -np.inf, np.inf]], 3, ["inf:2:dog", "nan:0:cat", "-inf:1"]),
        ([[]], 3, []),
    ],
)
def test_rows_of_floats(values, count, expected):
    found = top_classes(spec(), tensor(values), count)
    assert texts(found) == expected
    assert (found.dtype, found.shape) == (DType.BYTES, (len(values), min(count, len(values[0]))))


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (DType.INT8, [-128, 127, 0], ["127:1", "0:2"]),
        (DType.UINT64, [0, 2**64 - 1, 1], [f"{2**64 - 1}:1", "1:2"]),
        (DType.INT64, [-(2**63), 2**53 + 1, 2**53], [f"{2**53 + 1}:1", f"{2**53}:2"]),
        (DType.BOOL, [False, True, False], ["1:1", "0:0"]),
        (DType.FP16, [0.5, -1.0, 2.0], ["2.000000:2", "0.500000:0"]),
        (DType.FP64, [0.5, 1e10, 2.0], ["10000000000.000000:1", "2.000000:2"]),
        (DType.BF16, [0x3F80, 0xBF80, 0x4000], ["2.000000:2", "1.000000:0"]),
    ],
)
def test_every_datatype_without_a_batch_axis(dtype, values, expected):
    found = top_classes(spec(dtype, max_batch_size=0, labels={}), tensor(values, dtype), 2)
    assert (texts(found), found.shape) == (expected, (2,))


def test_classes_are_all_dimensions_but_the_batch():
    found = top_classes(spec(labels={}), tensor([[[1.0, 2.0], [4.0, 3.0]]]), 3)
    assert (texts(found), found.shape) == (["4.000000:2", "3.000000:3", "2.000000:1"], (1, 3))


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(1, 40))
def test_the_highest_are_what_sorting_says(values, count):
    expected = sorted(range(len(values)), key=lambda index: (-values[index], index))[:count]
    assert highest(np.array(values, "<i4"), min(count, len(values))).tolist() == expected


class Version:
    def __init__(self, found):
        self.spec = found


ASKED = (RequestedOutput("y", {"classification": 1}),)


def test_a_request_without_classes_keeps_its_callback():
    def done(result):
        raise AssertionError

    for parameters in ({}, {"x": 1}, NO_PARAMETERS):
        assert classified((RequestedOutput("y", parameters),), Version(spec()), done) is done


def test_the_other_outputs_and_errors_pass():
    told = []
    tell = classified(ASKED, Version(spec()), told.append)
    other = Tensor("z", DType.BYTES, (1, 1), b"\0\0\0\0")
    lease = CountedLease()
    response = InferResponse("m", 1, (tensor([[1.0, 2.0]]), other), "7", {"a": 1}, lease)
    tell(response)
    error = ModelFailed("x")
    tell(error)
    answer, failure = told
    assert (failure, lease.holds) == (error, 1)
    assert answer.with_outputs(()) == response.with_outputs(())
    assert (texts(answer.outputs[0]), answer.outputs[1]) == (["2.000000:1"], other)


def test_bytes_have_no_classes():
    with pytest.raises(InvalidInput, match="'z'"):
        classified((RequestedOutput("z", {"classification": 1}),), Version(spec()), print)


def test_what_is_known_only_with_the_answer_is_refused_then():
    version, told, lease = Version(None), [], CountedLease()
    tell = classified((RequestedOutput("z", {"classification": 1}),), version, told.append)
    version.spec = spec()
    tell(InferResponse("m", 1, (Tensor("z", DType.BYTES, (1, 1), b"\0\0\0\0"),), lease=lease))
    assert isinstance(told[0], InvalidInput)
    assert lease.holds == 0
