from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.torch_signature import Argument, check, order_inputs, pick_outputs

A, B = Argument("a"), Argument("b")
X = TensorSpec("x", DType.FP32, (1,))
TEXT = TensorSpec("t", DType.BYTES, (1,))


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ((), (X,), "must name the inputs and outputs"),
        ((X,), (), "must name the inputs and outputs"),
        ((X, TEXT), (X,), "tensor 't' is BYTES"),
        ((X,), (TEXT,), "tensor 't' is BYTES"),
        ((X, TensorSpec("y", DType.FP32, (1,), is_optional=True)), (X,), "input 'y' is optional"),
    ],
)
def test_signatures_that_cannot_be(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], problem: str
) -> None:
    with pytest.raises(LoadError, match=problem):
        check(ModelSpec("m", 1, "", "pytorch", inputs, outputs))
    check(ModelSpec("m", 1, "", "pytorch", (X,), (X,)))


@pytest.mark.parametrize(
    ("names", "arguments", "order"),
    [
        (["a", "b"], [A, B], (0, 1)),
        (["b", "a"], [A, B], (1, 0)),
        (["INPUT__1", "INPUT__0"], [A, B], (1, 0)),
        (["anything"], [A], (0,)),
        (["a"], [A, Argument("b", is_optional=True)], (0,)),
        (["x__0"], [Argument("x__0")], (0,)),
    ],
)
def test_inputs_by_name_or_position(names: list[str], arguments: list[Argument], order: object) -> None:
    assert order_inputs(names, arguments) == order


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["x", "y"], r"called as forward's arguments \(a, b\) or <name>__0"),
        (["a", "INPUT__1"], "called as forward's arguments"),
        (["INPUT__0", "INPUT__2"], "not the first of forward's arguments"),
        (["INPUT__0", "OTHER__0"], "not the first of forward's arguments"),
        (["I__0", "I__1", "I__2"], "not the first of forward's arguments"),
        (["b"], "not the first of forward's arguments"),
        (["a"], "lacks an input for forward's argument 'b'"),
    ],
)
def test_inputs_that_do_not_fit(names: list[str], problem: str) -> None:
    with pytest.raises(LoadError, match=problem):
        order_inputs(names, [A, B])


def test_outputs_by_position_or_key() -> None:
    assert pick_outputs(["OUTPUT__1", "OUTPUT__0"], gives_dict=False) == (1, 0)
    assert pick_outputs(["score"], gives_dict=False) == (0,)
    assert pick_outputs(["score", "label"], gives_dict=True) == ("score", "label")
    with pytest.raises(LoadError, match="the outputs must be called <name>__0"):
        pick_outputs(["score", "label"], gives_dict=False)
    with pytest.raises(LoadError, match="two outputs have the same position"):
        pick_outputs(["a__1", "b__1"], gives_dict=False)
