from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench.inputs import InputSpec, json_values, make_inputs
from gateway.cli.bench.plan import BenchError, Plan
from gateway.core.dtypes import NUMPY, DType
from gateway.core.tensor import Tensor, check_size, count_bytes_elements

FRAUD = InputSpec("x", "FP32", (-1, 30))
PLAN = Plan(model="m")


def _plan(**changes: object) -> Plan:
    return msgspec.structs.replace(PLAN, **changes)


@given(st.sampled_from(list(DType)), st.lists(st.integers(-1, 4), max_size=3), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_random_inputs_are_well_formed_for_every_datatype(dtype: DType, shape: list[int], seed: int) -> None:
    spec = InputSpec("x", dtype.name, tuple(shape))
    (tensor,) = make_inputs(_plan(seed=seed), [spec])
    assert tensor.shape == tuple(1 if dim < 0 else dim for dim in shape)
    if dtype is DType.BYTES:
        count_bytes_elements("x", tensor.data, math.prod(tensor.shape))
    else:
        check_size("x", dtype, tensor.shape, len(tensor.data))
    values = json_values(tensor)
    assert len(values) == math.prod(tensor.shape)
    assert json.loads(json.dumps(values)) == values
    assert make_inputs(_plan(seed=seed), [spec]) == (tensor,)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (1, 30)),
        ({"batch": 4}, (4, 30)),
        ({"shapes": {"x": (2, 30)}}, (2, 30)),
        ({"shapes": {"x": (2, 30)}, "batch": 2}, (2, 30)),
    ],
)
def test_shapes(changes: dict[str, object], shape: tuple[int, ...]) -> None:
    assert make_inputs(_plan(**changes), [FRAUD])[0].shape == shape


@pytest.mark.parametrize(
    ("changes", "spec", "said"),
    [
        ({"shapes": {"y": (1,)}}, FRAUD, "no input 'y', it has 'x'"),
        ({"shapes": {"x": (1, 31)}}, FRAUD, r"cannot be \[1, 31\]"),
        ({"shapes": {"x": (1,)}}, FRAUD, r"cannot be \[1\]"),
        ({"shapes": {"x": (2, 30)}, "batch": 3}, FRAUD, "--batch is 3"),
        ({"batch": 2}, InputSpec("x", "FP32", (30,)), "no free first axis"),
        ({}, InputSpec("x", "FP8", (1,)), "unsupported datatype 'FP8'"),
        ({"shapes": {"x": (1 << 40, 1 << 40)}}, InputSpec("x", "FP32", (-1, -1)), "too many elements"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    changes: dict[str, object], spec: InputSpec, said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        make_inputs(_plan(**changes), [spec])


def _write(folder: Path, *inputs: dict[str, object], **extra: object) -> str:
    path = folder / "body.json"
    path.write_text(json.dumps({"inputs": inputs, **extra}))
    return str(path)


def test_a_json_body_is_read_by_datatype(tmp_path: Path) -> None:
    data = _write(
        tmp_path,
        {"name": "a", "datatype": "INT32", "shape": [2, 1], "data": [[1], [-2]]},
        {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["é", ""]},
        {"name": "c", "datatype": "BF16", "shape": [1], "data": [1.5]},
        {"name": "d", "datatype": "BOOL", "shape": [2], "data": [True, False]},
        id="7",
    )
    specs = [
        InputSpec("a", "INT32", (-1, 1)),
        InputSpec("b", "BYTES", (2,)),
        InputSpec("c", "BF16", (1,)),
        InputSpec("d", "BOOL", (2,)),
    ]
    assert make_inputs(_plan(data=data), specs) == (
        Tensor("a", DType.INT32, (2, 1), b"\x01\0\0\0\xfe\xff\xff\xff"),
        Tensor("b", DType.BYTES, (2,), b"\x02\0\0\0\xc3\xa9\0\0\0\0"),
        Tensor("c", DType.BF16, (1,), b"\xc0\x3f"),
        Tensor("d", DType.BOOL, (2,), b"\x01\x00"),
    )


def test_arrays_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    numbers = np.arange(6, dtype=np.float64).reshape(2, 3)
    np.savez(path, x=numbers, s=np.array(["a", "bc"]), h=np.array([1.0], np.float32))
    specs = [InputSpec("x", "FP32", (-1, 3)), InputSpec("s", "BYTES", (-1,)), InputSpec("h", "BF16", (1,))]
    x, s, h = make_inputs(_plan(data=str(path)), specs)
    assert np.array_equal(np.frombuffer(x.data, NUMPY[x.dtype]).reshape(x.shape), numbers)
    assert json_values(s) == ["a", "bc"]
    assert json_values(h) == [1.0]


X = {"name": "x", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([{**X, "name": "y"}, X], "no input 'y'"),
        ([], "also takes 'x'"),
        ([{**X, "datatype": "FP64"}], "'x' is FP64"),
        ([{**X, "datatype": "COMPLEX"}], "unsupported datatype"),
        ([{**X, "shape": [1, 29]}], "30 elements"),
        ([{**X, "shape": [-1, -30]}], "30 elements"),
        ([{**X, "shape": [2, 15]}], "cannot be"),
        ([{**X, "data": ["a"] * 30}], "is not FP32"),
        ([{**X, "data": [[0.5] * 29, [1.0, 2.0]]}], "31 elements"),
        ([{**X, "more": 1}], "unknown field"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, inputs: list[dict[str, object]], said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        make_inputs(_plan(data=_write(tmp_path, *inputs)), [FRAUD])


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"PK\x03\x04nothing")
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, x=np.array([1 + 2j]), y=np.array([1]))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, x=np.array([{}], dtype=object))
    for path in (bad, tmp_path / "missing.json", wrong, pickled):
        with pytest.raises(BenchError, match="--data"):
            make_inputs(_plan(data=str(path)), [FRAUD])
    np.savez(wrong, x=np.array([1 + 2j]))
    with pytest.raises(BenchError, match="holds complex128"):
        make_inputs(_plan(data=str(wrong)), [FRAUD])
