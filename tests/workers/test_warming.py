from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.clock import monotonic_s
from gateway.core.dtypes import NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.tensor import serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Source, Warmup, WarmupInput
from gateway.runtimes.contract import ABSENT, Array, BadInput, LoadError
from gateway.workers.execution import ModelMisbehaved, ServePlan
from gateway.workers.frames import Table
from gateway.workers.loading import load_model
from gateway.workers.messages import Load
from gateway.workers.warming import Unread, warm_up
from tests.fakes.streaming_model import StreamingLab

LAB = "tests.fakes.lab_runtime:LabRuntime"
LAB_SPEC = ModelSpec("lab", 1, "", "lab", (), (), 8)


class Recorder:
    """Keeps every batch and answers its inputs; `fail` raises instead."""

    def __init__(self, *tensors: TensorSpec, size: int = 8, fail: Exception | None = None) -> None:
        self.spec = ModelSpec("m", 1, "", "", tensors, tensors, size)
        self.batches: list[list[Array]] = []
        self.fail = fail
        self.answer: Any = None

    def infer(self, inputs: Any, outputs: Any, rows: int, memory: Any) -> Any:
        if self.fail is not None:
            raise self.fail
        self.batches.append(list(inputs))
        return self.answer or [inputs[ordinal] for ordinal in outputs]

    def close(self) -> None:
        pass


def tensor(dtype: DType = DType.FP32, shape: tuple[int, ...] = (2,), name: str = "x") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def sample(*inputs: WarmupInput, rows: int = 1, count: int = 1, name: str = "w") -> Warmup:
    return Warmup(name, rows, count, inputs)


def one(
    source: Source = "zero",
    dtype: DType = DType.FP32,
    shape: tuple[int, ...] = (2,),
    name: str = "x",
    file: str = "",
) -> WarmupInput:
    return WarmupInput(name, dtype, shape, source, file)


@pytest.mark.parametrize("dtype", DType)
@pytest.mark.parametrize("source", ["zero", "random"])
def test_every_datatype(dtype: DType, source: Source) -> None:
    model = Recorder(tensor(dtype, (2, -1)))
    warm_up(model, [sample(one(source, dtype, (2, 3)), rows=4, count=3)])
    assert len(model.batches) == 3
    (array,) = model.batches[0]
    assert array.shape == (4, 2, 3)
    assert array.dtype == NUMPY.get(dtype, np.dtype(object))
    if source == "zero":
        assert not any(array.ravel().tolist())
    else:
        assert any(array.ravel().tolist())
        np.testing.assert_array_equal(array[0], array[3])


def test_an_optional_input_may_be_left_out() -> None:
    maybe = TensorSpec("y", DType.FP32, (2,), is_optional=True)
    model = Recorder(tensor(), maybe)
    model.answer = [np.zeros((1, 2), "f4")] * 2
    warm_up(model, [sample(one()), sample(one(), one(name="y"))])
    assert [[array is ABSENT for array in batch] for batch in model.batches] == [[False, True], [False] * 2]


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    values, texts = np.array([1.5, -2], "<f4"), [b"a", b"", b"bcd"]
    (tmp_path / "x").write_bytes(values.tobytes())
    (tmp_path / "t").write_bytes(serialise_bytes_elements(texts))
    model = Recorder(tensor(), tensor(DType.BYTES, (3,), "t"))
    warm_up(
        model,
        [
            sample(
                one("file", DType.BYTES, (3,), "t", str(tmp_path / "t")),
                one("file", file=str(tmp_path / "x")),
                rows=2,
            )
        ],
    )
    (numbers, words) = model.batches[0]
    np.testing.assert_array_equal(numbers, [values, values])
    assert words.tolist() == [texts, texts]


def test_without_a_batch_axis_there_is_none() -> None:
    model = Recorder(tensor(), size=0)
    warm_up(model, [sample(one())])
    assert model.batches[0][0].shape == (2,)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (sample(), "input 'x' is missing"),
        (sample(one(), one(name="y")), "input 'y' is not one of the model"),
        (sample(one(dtype=DType.FP64)), r"input 'x' is FP64 \[2\], the model takes FP32 \[2\]"),
        (sample(one(shape=(3,))), r"input 'x' is FP32 \[3\], the model takes"),
        (sample(one(), rows=9), "batch_size 9, the most is 8"),
        (sample(one("file", file="/nowhere/x.raw")), "'x.raw' cannot be read: No such file"),
    ],
)
def test_what_does_not_fit_the_model_fails_the_load(made: Warmup, reason: str) -> None:
    with pytest.raises(LoadError, match=f"^warm-up 'w' failed: {reason}"):
        warm_up(Recorder(tensor()), [made])


@pytest.mark.parametrize(("size", "told"), [(7, "7"), (9, "more")])
def test_a_file_of_another_size(tmp_path: Path, size: int, told: str) -> None:
    (tmp_path / "x").write_bytes(bytes(size))
    with pytest.raises(LoadError, match=f"input 'x' needs 8 bytes, its file has {told}"):
        warm_up(Recorder(tensor()), [sample(one("file", file=str(tmp_path / "x")))])


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/hostname")
    with pytest.raises(LoadError, match="'x' cannot be read"):
        warm_up(Recorder(tensor()), [sample(one("file", file=str(tmp_path / "x")))])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            Recorder(tensor(), fail=ValueError("no good at /a/b/model.bin")),
            "ValueError: no good at model.bin",
        ),
        (Recorder(tensor(), fail=BadInput("out of range")), "BadInput: out of range"),
    ],
)
def test_a_model_that_raises(model: Recorder, reason: str) -> None:
    with pytest.raises(LoadError, match=f"^warm-up '0' failed: {reason}$"):
        warm_up(model, [sample(one(), name="")])


def test_a_model_that_answers_something_else() -> None:
    model = Recorder(tensor())
    model.answer = [np.zeros((1, 3), "f4")]
    with pytest.raises(LoadError, match="ModelMisbehaved: output 'x' has shape"):
        warm_up(model, [sample(one())])


def test_a_load_ends_with_the_warm_up(tmp_path: Path) -> None:
    (tmp_path / "model.lab").write_text(json.dumps({"rows": {"0.0": {"do": "raise"}}}))
    good = sample(one("random", shape=(3,), name="X"))
    bad = sample(one("zero", shape=(3,), name="X"), name="zeros")
    ticks = iter((1.0, 3.0, 7.0, 15.0))
    load = Load(LAB, str(tmp_path), LAB_SPEC, True, warmup=(good,))
    assert load_model(load, lambda: next(ticks))[1] == {"runtime": 2.0, "load": 4.0, "warm_up": 8.0}
    with pytest.raises(LoadError, match=r"warm-up 'zeros' failed: ValueError: a poison value"):
        load_model(Load(LAB, str(tmp_path), LAB_SPEC, True, warmup=(good, bad)), monotonic_s)


def test_a_decoupled_model_is_warmed_by_all_its_answers() -> None:
    zero = WarmupInput("X", DType.FP32, (2,), "zero")
    warm_up(StreamingLab(), [Warmup("z", 1, 2, (zero,))])
    text = WarmupInput("X", DType.FP32, (1,), "zero")
    lab = StreamingLab()
    lab.RAISE = 0.0  # type: ignore[misc]
    with pytest.raises(LoadError, match="warm-up 'z' failed: ValueError: no more"):
        warm_up(lab, [Warmup("z", 1, 1, (text,))])


def test_nobody_reads_what_a_warm_up_answers() -> None:
    lab = StreamingLab()
    unread = Unread(ServePlan(lab.spec, Table(1, (), (0,)), 0))
    unread.send([np.ones((1, 1), np.float32)])
    assert not unread.is_cancelled()
    with pytest.raises(ModelMisbehaved):
        unread.send([np.ones((1, 1), np.float64)])
    unread.fail(ValueError("x"))
    unread.finish(ValueError("y"))
    with pytest.raises(ValueError, match="x"):
        unread.wait_until_finished()
