from __future__ import annotations

from typing import Any

import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.onnx_signature import ELEMENT_TYPES, FileTensor, complete, file_tensor, resolve

X = FileTensor("X", DType.FP32, ("n", 3, None))
Y = FileTensor("Y", DType.INT64, ("n",))
FIXED = FileTensor("F", DType.FP32, (1, 3))


def spec(inputs: Any = (), outputs: Any = (), size: int = 0) -> ModelSpec:
    return ModelSpec("m", 1, "", "", inputs, outputs, size)


def done(given: ModelSpec, inputs: Any, outputs: Any, *, known: bool = False) -> ModelSpec:
    return complete(given, inputs, outputs, max_batch_known=known, default_max_batch_size=16)


def test_everything_is_read_from_the_file_when_nothing_is_said() -> None:
    found = done(spec(), [X], [Y])
    assert found.max_batch_size == 16
    assert found.inputs == (TensorSpec("X", DType.FP32, (3, -1)),)
    assert found.outputs == (TensorSpec("Y", DType.INT64, (1,), ()),)


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "known", "expected"),
    [
        ([X], [Y], 0, True, 0),  # configured not to batch
        ([X], [Y], 4, True, 4),
        ([X], [FIXED], 0, False, 0),
        ([X, FileTensor("S", DType.FP32, ())], [Y], 0, False, 0),
    ],
)
def test_batching_needs_a_free_first_dimension_everywhere(
    inputs: Any, outputs: Any, size: int, known: bool, expected: int
) -> None:
    found = done(spec(size=size), inputs, outputs, known=known)
    assert found.max_batch_size == expected
    assert len(found.inputs[0].shape) == (2 if expected else 3)


def test_a_given_signature_does_not_batch_unless_it_says_so() -> None:
    assert done(spec(inputs=(TensorSpec("X", DType.FP32, (-1, 3, 5)),)), [X], [Y]).max_batch_size == 0
    batching = spec(inputs=(TensorSpec("X", DType.FP32, (3, 5)),), size=8)
    found = done(batching, [X], [Y], known=True)
    assert (found.inputs, found.outputs[0].shape) == (batching.inputs, (1,))


def test_the_order_is_the_configurations_and_outputs_may_be_fewer() -> None:
    z = FileTensor("Z", DType.FP32, ("n", 1))
    given = spec((TensorSpec("Z", DType.FP32, (1,)), TensorSpec("X", DType.FP32, (3, -1))), (), 8)
    found = done(given, [X, z], [Y, z], known=True)
    assert [one.name for one in found.inputs] == ["Z", "X"]
    some = done(spec((), (TensorSpec("Z", DType.FP32, (1,)),), 8), [X], [Y, z], known=True)
    assert [one.name for one in some.outputs] == ["Z"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (spec(size=8), "^autofill failed for model 'm': model does not support batching while non-zero"),
        (
            spec((TensorSpec("F", DType.FP32, (3,)),), (TensorSpec("F", DType.FP32, (3,)),), 8),
            "^model does not support batching",
        ),
        (spec((TensorSpec("F", DType.FP32, (3,)),)), r"with dims \[3\], the model has \[1, 3\]"),
        (spec((TensorSpec("F", DType.FP32, (3,), (3, 1)),)), r"with reshape \[3, 1\], the model has"),
        (spec((TensorSpec("A", DType.FP32, (1, 3)),)), r"unexpected input 'A': the model has \['F'\]"),
        (spec((TensorSpec("F", DType.FP64, (1, 3)),)), "input 'F' is configured as FP64, the model has FP32"),
        (spec((TensorSpec("F", DType.FP32, (1, 3, 1)),)), r"input 'F' is configured with dims \[1, 3, 1\]"),
        (spec((TensorSpec("F", DType.FP32, (1, 4)),)), r"the model has \[1, 3\]"),
        (spec((TensorSpec("F", DType.FP32, (-1, 3)),)), "dims"),
        (spec((), (TensorSpec("Q", DType.FP32, (1,)),)), "unexpected output 'Q'"),
    ],
)
def test_contradictions_name_the_tensor(given: ModelSpec, text: str) -> None:
    with pytest.raises(LoadError, match=text):
        done(given, [FIXED], [FIXED], known=True)


def test_a_reshape_is_what_must_fit_the_file() -> None:
    given = spec((TensorSpec("F", DType.FP32, (3,), (1, 3)),), (TensorSpec("F", DType.FP32, (3,), (1, 3)),))
    assert done(given, [FIXED], [FIXED], known=True).inputs == given.inputs


def test_an_input_that_the_configuration_forgot_is_named() -> None:
    with pytest.raises(LoadError, match="lacks input 'F'"):
        done(spec((TensorSpec("X", DType.FP32, (-1, 3, -1)),)), [X, FIXED], [Y], known=True)


def test_types_that_no_protocol_carries_are_refused() -> None:
    with pytest.raises(LoadError, match="input 'X' is a seq"):
        file_tensor("input", "X", "seq(tensor(float))", [])
    assert set(ELEMENT_TYPES) == set(DType)


@pytest.mark.parametrize(
    ("output", "rows", "expected"),
    [
        (("n", "d"), None, (4, 7)),
        (("other", "d"), 4, (4, 7)),
        (("n", 5), None, (4, 5)),
        (("n", "unknown"), 4, None),
        (("n", None), None, None),
        ((), None, ()),
    ],
)
def test_symbols_shared_with_inputs_tell_an_outputs_shape(
    output: Any, rows: int | None, expected: tuple[int, ...] | None
) -> None:
    inputs = [FileTensor("X", DType.FP32, ("n", "d")), FileTensor("W", DType.FP32, (3, None))]
    tensor = FileTensor("Y", DType.FP32, output)
    assert resolve(inputs, [(4, 7), (3, 2)], tensor, rows=rows) == expected


def test_an_input_with_a_default_need_not_be_configured_and_may_be_optional() -> None:
    default = FileTensor("S", DType.FP32, ("n", 1), has_default=True)
    x = TensorSpec("X", DType.FP32, (3, -1))
    assert done(spec((x,), (), 8), [X, default], [Y], known=True).inputs == (x,)
    optional = TensorSpec("S", DType.FP32, (1,), is_optional=True)
    assert done(spec((x, optional), (), 8), [X, default], [Y], known=True).inputs == (x, optional)
    with pytest.raises(LoadError, match="'S' is configured as optional, the model has no default"):
        done(spec((x, optional), (), 8), [X, default._replace(has_default=False)], [Y], known=True)
    assert done(spec(), [X, default], [Y]).inputs[1].is_optional


def test_a_default_that_cannot_batch_is_named() -> None:
    fixed = FileTensor("S", DType.FP32, (1,), has_default=True)
    given = spec((TensorSpec("X", DType.FP32, (3, -1)), TensorSpec("S", DType.FP32, (1,))), (), 8)
    with pytest.raises(LoadError, match=r"'S' has shape \[1\], whose first dimension is not free"):
        done(given, [X, fixed], [Y], known=True)


def test_only_an_input_can_be_of_an_optional_type() -> None:
    assert file_tensor("input", "x", "optional(tensor(float))", ["n"]).has_default
    for kind, element in (("output", "optional(tensor(float))"), ("input", "optional(seq(tensor(float)))")):
        with pytest.raises(LoadError, match="cannot be served"):
            file_tensor(kind, "x", element, ["n"])
