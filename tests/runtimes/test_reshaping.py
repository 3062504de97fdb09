from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.calls import Desk, desk_of
from gateway.runtimes.contract import ABSENT, Array, OutputMemory, concurrent
from gateway.runtimes.reshaping import Reshaping, fill, reshaped
from tests.fakes.concurrent_model import ConcurrentLab, answer


class Echo:
    """Answers each input as the output of the same number, and remembers the shapes it saw."""

    def __init__(self, *tensors: TensorSpec, size: int, **answers: Any) -> None:
        self.spec = ModelSpec("m", 1, "", "", tensors, tensors, size)
        self.seen: list[tuple[int, ...]] = []
        self.answer: list[Array] | None = answers.get("answer")
        self.is_closed = False

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        self.seen = [array.shape for array in inputs]
        return [inputs[ordinal] for ordinal in outputs] if self.answer is None else self.answer

    def close(self) -> None:
        self.is_closed = True


class Memory:
    def array(self, dtype: Any, shape: Any) -> None:
        return None


PLAIN = TensorSpec("p", DType.FP32, (2,))
SCALAR = TensorSpec("s", DType.FP32, (1,), ())
FREE = TensorSpec("f", DType.FP32, (-1, 4), (1, -1, 2, 2))


def test_a_model_without_is_itself() -> None:
    model = Echo(PLAIN, size=4)
    assert reshaped(model) is model


@pytest.mark.parametrize(
    ("size", "lead"),
    [(8, (3,)), (0, ())],
)
def test_what_is_absent_has_no_shape(size: int, lead: tuple[int, ...]) -> None:
    model = Echo(SCALAR, PLAIN, size=size)
    reshaped(model).infer([ABSENT, np.ones((*lead, 2), "f4")], (1,), 3, Memory())
    assert model.seen == [ABSENT.shape, (*lead, 2)]


@pytest.mark.parametrize(
    ("size", "lead"),
    [(8, (3,)), (0, ())],
)
def test_the_engine_sees_its_shapes_and_the_caller_his(size: int, lead: tuple[int, ...]) -> None:
    model = Echo(PLAIN, SCALAR, FREE, size=size)
    outer = reshaped(model)
    assert outer.spec is model.spec
    shapes = [(*lead, 2), (*lead, 1), (*lead, 5, 4)]
    inputs = [np.arange(np.prod(shape), dtype="f4").reshape(shape) for shape in shapes]
    results = outer.infer(inputs, (2, 0, 1), 3, Memory())
    assert model.seen == [(*lead, 2), lead, (*lead, 1, 5, 2, 2)]
    for result, ordinal in zip(results, (2, 0, 1), strict=True):
        np.testing.assert_array_equal(result, inputs[ordinal])
        assert np.shares_memory(result, inputs[ordinal])


def test_broken_promises_are_left_for_whoever_checks_them() -> None:
    wrong = np.zeros((1, 7), "f4")
    model = Echo(SCALAR, size=8, answer=[wrong])
    inputs = [np.zeros((1, 1), "f4")]
    assert Reshaping(model).infer(inputs, (0,), 1, Memory())[0] is wrong
    model.answer = []
    assert Reshaping(model).infer(inputs, (0,), 1, Memory()) == []


def test_closing_closes_the_model() -> None:
    model = Echo(SCALAR, size=8)
    Reshaping(model).close()
    assert model.is_closed


def test_free_dimensions_are_taken_in_order() -> None:
    assert fill((1, -1, 2, -1), (-1, 2, -1, 1), (7, 2, 9, 1)) == (1, 7, 2, 9)


def test_it_calls_others_where_its_model_does() -> None:
    model = Echo(SCALAR, size=4)
    assert desk_of(reshaped(model)) is None
    model.desk = Desk()
    assert desk_of(reshaped(model)) is model.desk


def test_batches_at_the_same_time_see_the_same_shapes() -> None:
    lab = ConcurrentLab()
    x, y = TensorSpec("X", DType.FP32, (1, 2), (2,)), TensorSpec("Y", DType.FP32, (1, 2), (2,))
    lab.spec = msgspec.structs.replace(lab.spec, inputs=(x,), outputs=(y,))
    model = concurrent(reshaped(lab))
    assert model is not None
    told: list[Any] = []
    call = model.begin([np.ones((3, 1, 2), np.float32)], (0,), 3, 2.0, told.append)
    (begun,) = lab.begun
    begun.done(answer(1.0, 3))
    call.cancel()
    assert told[0][0].shape == (3, 1, 2)
    assert isinstance(told[1], Exception)
    model.watch(told.append)
    lab.changed("down")
    assert told[2] == "down"
    assert model.counts().requests == 1
