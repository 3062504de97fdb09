from __future__ import annotations

import msgspec
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.remote.description import (
    Described,
    RemoteTensor,
    check_tensors,
    complete,
    remote_tensor,
)

EMPTY = ModelSpec("m", 1, "remote", "remote", (), ())
X = RemoteTensor("X", DType.FP32, (-1, 3))
Y = RemoteTensor("Y", DType.BYTES, (-1, -1))
TOLD = Described((X,), (Y,), 8)


def given(*, size: int = 0, inputs: object = (), outputs: object = ()) -> ModelSpec:
    return msgspec.structs.replace(EMPTY, max_batch_size=size, inputs=inputs, outputs=outputs)


def test_what_the_configuration_leaves_out_comes_from_the_upstream() -> None:
    spec = complete(EMPTY, TOLD, max_batch_known=False)
    assert spec.max_batch_size == 8
    assert spec.inputs == (TensorSpec("X", DType.FP32, (3,)),)
    assert spec.outputs == (TensorSpec("Y", DType.BYTES, (-1,)),)


def test_without_a_configuration_extension_the_batch_axis_is_a_free_dimension() -> None:
    spec = complete(EMPTY, TOLD._replace(max_batch_size=None), max_batch_known=False)
    assert spec.max_batch_size == 0
    assert spec.inputs == (TensorSpec("X", DType.FP32, (-1, 3)),)
    ours = given(size=4, inputs=(TensorSpec("X", DType.FP32, (3,)),))
    assert complete(ours, TOLD._replace(max_batch_size=None), max_batch_known=True).max_batch_size == 4


def test_an_upstream_may_say_nothing_of_its_tensors_where_the_configuration_does() -> None:
    silent = Described((), (), None)
    ours = given(
        size=4, inputs=(TensorSpec("X", DType.FP32, (3,)),), outputs=(TensorSpec("Y", DType.BYTES, (5,)),)
    )
    assert complete(ours, silent, max_batch_known=True) == ours
    with pytest.raises(LoadError, match=r"metadata has no inputs: config.pbtxt must name them"):
        complete(EMPTY, silent, max_batch_known=False)


def test_a_scalar_is_seen_as_one_element() -> None:
    told = Described((RemoteTensor("X", DType.FP32, (-1,)),), (RemoteTensor("Y", DType.FP32, (-1,)),), 2)
    spec = complete(EMPTY, told, max_batch_known=False)
    assert spec.inputs == (TensorSpec("X", DType.FP32, (1,), ()),)


def test_a_configuration_may_say_less_than_the_upstream_allows() -> None:
    ours = given(
        size=4,
        inputs=(TensorSpec("X", DType.FP32, (1, 3), (3,)),),
        outputs=(TensorSpec("Y", DType.BYTES, (5,)),),
    )
    assert complete(ours, TOLD, max_batch_known=True) == ours


@pytest.mark.parametrize(
    ("spec", "told", "words"),
    [
        (given(inputs=(TensorSpec("Z", DType.FP32, (3,)),), size=1), TOLD, r"unexpected input 'Z'.*\['X'\]"),
        (
            given(inputs=(TensorSpec("X", DType.FP64, (3,)),), size=1),
            TOLD,
            "'X' is FP64, the upstream's .* FP32",
        ),
        (given(inputs=(TensorSpec("X", DType.FP32, (4,)),), size=1), TOLD, r"shape \[4\], the .* \[3\]"),
        (given(inputs=(TensorSpec("X", DType.FP32, (-1,)),), size=1), TOLD, r"shape \[-1\], the .* \[3\]"),
        (given(inputs=(TensorSpec("X", DType.FP32, (3, 1)),), size=1), TOLD, r"shape \[3, 1\]"),
        (
            given(inputs=(TensorSpec("X", DType.FP32, (3,)),), size=9),
            TOLD,
            "max_batch_size 9 is more than .* 8",
        ),
        (given(inputs=(TensorSpec("X", DType.FP32, (-1, 3)),)), TOLD, "max_batch_size 0, but the upstream"),
        (
            given(inputs=(TensorSpec("X", DType.FP32, (3,)),), size=1),
            TOLD._replace(max_batch_size=0),
            "is more",
        ),
        (
            given(size=1, inputs=(TensorSpec("X", DType.FP32, ()),)),
            Described((RemoteTensor("X", DType.FP32, (3,)),), (Y,)),
            "whose first dimension is not free",
        ),
        (
            given(size=1, inputs=(TensorSpec("X", DType.FP32, (3,)),)),
            TOLD._replace(inputs=(X, RemoteTensor("W", DType.FP32, (-1, 1)))),
            "lacks input 'W'",
        ),
        (given(size=1, outputs=(TensorSpec("Z", DType.FP32, (3,)),)), TOLD, "unexpected output 'Z'"),
        (EMPTY, TOLD._replace(is_decoupled=True), "decoupled .* not supported"),
        (
            EMPTY,
            Described((RemoteTensor("X", DType.BF16, (-1,)),), (Y,), 0, has_binary=False),
            "'X' is BF16",
        ),
    ],
)
def test_contradictions_are_refused(spec: ModelSpec, told: Described, words: str) -> None:
    known = spec.max_batch_size > 0 or bool(spec.inputs)
    with pytest.raises(LoadError, match=words):
        complete(spec, told, max_batch_known=known)


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [
        (None, "FP32", [1]),
        ("", "FP32", [1]),
        ("a\nb", "FP32", [1]),
        ("x" * 1025, "FP32", [1]),
        ("X", "FP128", [1]),
        ("X", None, [1]),
        ("X", ["FP32"], [1]),
        ("X", "FP32", None),
        ("X", "FP32", "1"),
        ("X", "FP32", ["1"]),
        ("X", "FP32", [True]),
        ("X", "FP32", [1.0]),
        ("X", "FP32", [0]),
        ("X", "FP32", [-2]),
        ("X", "FP32", [1 << 41]),
        ("X", "FP32", [1] * 32),
    ],
)
def test_hostile_metadata_is_refused(name: object, datatype: object, shape: object) -> None:
    with pytest.raises(LoadError, match="the upstream's"):
        remote_tensor("input", name, datatype, shape)


def test_tensors_are_not_too_many_and_different() -> None:
    assert check_tensors("input", [X]) == (X,)
    assert check_tensors("input", []) == ()
    for wrong in ([X, X], [X._replace(name=f"X{n}") for n in range(513)]):
        with pytest.raises(LoadError):
            check_tensors("input", wrong)
