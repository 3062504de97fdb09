from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.tensorrt_signature import PlanTensor, most_rows, pick_profile, read, why_none

SPEC = ModelSpec("m", 1, "tensorrt_plan", "tensorrt", (), ())
RANGES = (((1, 3), (4, 3)), ((8, 3), (32, 3)))
X = PlanTensor("X", True, "FLOAT", (-1, 3), RANGES)
MASK = PlanTensor("MASK", True, "BOOL", (-1, 3), (((1, 3), (4, 3)), ((8, 3), (16, 3))))
Y = PlanTensor("Y", False, "HALF", (-1, 10))
Z = PlanTensor("Z", False, "INT64", (-1, 1))


def test_a_plan_that_batches_does_so_up_to_its_profiles() -> None:
    found = read(SPEC, [X, Y, MASK], max_batch_known=False, default_max_batch_size=64)
    assert found.spec.max_batch_size == 16
    assert found.spec.inputs == (TensorSpec("X", DType.FP32, (3,)), TensorSpec("MASK", DType.BOOL, (3,)))
    assert found.spec.outputs == (TensorSpec("Y", DType.FP16, (10,)),)
    assert (found.inputs, found.outputs) == ((X, MASK), (Y,))
    assert read(SPEC, [X, Y], max_batch_known=False, default_max_batch_size=4).spec.max_batch_size == 4


def test_outputs_that_nobody_named_come_last() -> None:
    spec = ModelSpec("m", 1, "", "", (), (TensorSpec("Z", DType.INT64, (1,)),), 8)
    found = read(spec, [X, Y, Z], max_batch_known=True, default_max_batch_size=64)
    assert found.outputs == (Z, Y)
    assert found.spec.outputs == spec.outputs


@pytest.mark.parametrize(
    ("tensors", "size", "reason"),
    [
        ([X, Y], 64, "max_batch_size 64 is more than the 32 rows the plan is for"),
        ([X._replace(dtype="FP8"), Y], 0, "input 'X' is FP8, which cannot be served"),
        (
            [X, Y._replace(is_linear=False)],
            0,
            "output 'Y' is not stored row by row: build the plan with linear",
        ),
        ([X._replace(is_on_device=False), Y], 0, "input 'X' is a shape tensor, which is not supported"),
        ([X._replace(ranges=()), Y], 0, "input 'X' has free dimensions and the plan no optimization profile"),
        (
            [X._replace(shape=(2, 3), ranges=()), Y],
            2,
            "model does not support batching while non-zero max_batch",
        ),
    ],
)
def test_what_cannot_be_served(tensors: list[PlanTensor], size: int, reason: str) -> None:
    spec = ModelSpec("m", 1, "", "", (), (), size)
    with pytest.raises(LoadError) as caught:
        read(spec, tensors, max_batch_known=size > 0, default_max_batch_size=1)
    assert reason in str(caught.value)


def test_most_rows() -> None:
    assert most_rows([X]) == 32
    assert most_rows([X, MASK]) == 16
    assert most_rows([X._replace(shape=(2, 3), ranges=())]) is None


@pytest.mark.parametrize(
    ("rows", "current", "expected"),
    [(1, 0, 0), (4, 1, 0), (8, 0, 1), (8, 1, 1), (5, 0, None), (33, 1, None)],
)
def test_a_profile_is_picked(rows: int, current: int, expected: int | None) -> None:
    assert pick_profile([X], [(rows, 3)], current) == expected


def test_the_current_profile_is_kept_where_it_fits() -> None:
    both = X._replace(ranges=(((1, 3), (8, 3)), ((1, 3), (8, 3))))
    assert [pick_profile([both], [(2, 3)], current) for current in (0, 1)] == [0, 1]


def test_a_plan_without_free_dimensions_takes_one_shape() -> None:
    fixed = PlanTensor("X", True, "FLOAT", (2, 3))
    assert pick_profile([fixed], [(2, 3)], 0) == 0
    assert pick_profile([fixed], [(1, 3)], 0) is None
    assert why_none([fixed], [(1, 3)]) == (
        "no optimization profile of the plan takes 'X' [1, 3] (it takes [2, 3] to [2, 3])"
    )
