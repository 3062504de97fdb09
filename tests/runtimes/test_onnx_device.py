"""Memory on a device, shown by the engine's own values: those of the host are made and filled alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from gateway.core.dtypes import NUMPY, DType
from gateway.core.placement import KIND_OPTION
from gateway.runtimes.contract import EngineBroken, LoadError
from gateway.runtimes.onnx import Bed, OnnxModel, OnnxRuntime
from gateway.runtimes.onnx_device import DeviceInputs, is_fatal
from gateway.runtimes.onnx_providers import Choice
from gateway.runtimes.onnx_signature import ELEMENT_TYPES, FileTensor
from tests.fakes import onnx_files
from tests.runtimes.test_onnx import SPEC, Memory, load


class Made:
    """Makes values in the host's memory, whatever device is asked for, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], str, int]] = []

    def __call__(self, shape: tuple[int, ...], dtype: Any, device: str, number: int) -> Any:
        self.asked.append((shape, device, number))
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype)


def tensor(dtype: DType) -> FileTensor:
    return FileTensor("X", dtype, ("n", "d"))


@pytest.mark.parametrize("dtype", [one for one in DType if one not in {DType.BYTES, DType.UINT16}])
def test_every_datatype_reaches_the_engine(tmp_path: Path, dtype: DType) -> None:
    file = onnx_files.identity(tmp_path, ELEMENT_TYPES[dtype]) / "model.onnx"
    session = onnxruntime.InferenceSession(str(file))
    made = Made()
    inputs = DeviceInputs(made, "cuda", 1)
    for start in (0, 1):
        raw = (np.arange(6).reshape(2, 3) % 2 + start).astype(NUMPY[dtype])
        binding = session.io_binding()
        inputs.bind(binding, [tensor(dtype)], [raw])
        binding.bind_output("Y", "cpu")
        session.run_with_iobinding(binding)
        if dtype is not DType.BF16:
            np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), raw)
    assert made.asked == ([] if dtype is DType.BF16 else [((2, 3), "cuda", 1)])


def test_memory_is_made_anew_for_another_shape_and_kept_for_the_same(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(str(onnx_files.identity(tmp_path, 1) / "model.onnx"))
    made = Made()
    inputs = DeviceInputs(made, "cuda", 0)
    for rows in (1, 1, 4, 4, 0, 1):
        inputs.bind(session.io_binding(), [tensor(DType.FP32)], [np.zeros((rows, 2), np.float32)])
    assert [shape for shape, _, _ in made.asked] == [(1, 2), (4, 2), (1, 2)]


class OnGpu:
    """A session whose binding takes values of the host for those of a GPU, and fails where it is told to."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.error = ""

    def io_binding(self) -> Any:
        return self._session.io_binding()

    def run(self, *_: Any) -> Any:
        raise AssertionError("on a GPU nothing runs without a binding")

    def run_with_iobinding(self, binding: Any) -> None:
        if self.error:
            raise RuntimeError(self.error)
        self._session.run_with_iobinding(binding)


def model_on_gpu(folder: Path) -> tuple[OnnxModel, OnGpu, Made]:
    """An identity of FP32 as it is run on GPU 2."""
    file = onnx_files.identity(folder, TensorProto.FLOAT) / "model.onnx"
    session, made = OnGpu(onnxruntime.InferenceSession(str(file))), Made()
    x, y = FileTensor("X", DType.FP32, ("n", "d")), FileTensor("Y", DType.FP32, ("n", "d"))
    choice = Choice((), 2, "on GPU 2")

    def reopened(found: Path | bytes) -> tuple[OnGpu, Choice]:
        assert isinstance(found, bytes)
        return OnGpu(onnxruntime.InferenceSession(found)), choice

    bed = Bed(file, reopened, lambda _: DeviceInputs(made, "cuda", 2).bind)
    return OnnxModel(session, load(folder).spec, (x,), (y,), choice, bed), session, made


def test_it_sleeps_without_its_file_and_wakes_as_it_was(tmp_path: Path) -> None:
    model, _, _ = model_on_gpu(tmp_path)
    x = np.ones((1, 2), np.float32)
    assert model.can_sleep
    model.infer([x], (0,), 1, Memory())
    model.sleep()
    (tmp_path / "model.onnx").unlink()
    assert not hasattr(model, "_session")
    model.wake()
    np.testing.assert_array_equal(model.infer([x], (0,), 1, Memory())[0], x)
    model.close()
    other, _, _ = model_on_gpu(tmp_path)
    other.sleep()
    other.close()


def test_weights_in_a_file_beside_it_cannot_wait_in_memory(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"w")
    assert not model_on_gpu(tmp_path)[0].can_sleep


def test_on_a_gpu_every_batch_is_bound_and_large_outputs_reach_the_front(tmp_path: Path) -> None:
    model, _, made = model_on_gpu(tmp_path)
    for columns, is_large in ((3, False), (100_000, True)):
        x, memory = np.random.default_rng(1).random((2, columns), "f4"), Memory()
        (found,) = model.infer([x], (0,), 2, memory)
        np.testing.assert_array_equal(found, x)
        assert [one is found for one in memory.given] == [True] * is_large
    assert [device for _, *device in made.asked] == [["cuda", 2]] * 2
    assert model.note == "on GPU 2"


def test_a_lost_device_ends_the_worker_and_memory_that_ran_out_does_not(tmp_path: Path) -> None:
    model, session, _ = model_on_gpu(tmp_path)
    x = np.zeros((1, 2), np.float32)
    session.error = "CUDA failure 2: out of memory ; GPU=2 ; hostname=h ; expr=cudaMalloc"
    with pytest.raises(RuntimeError, match="out of memory"):
        model.infer([x], (0,), 1, Memory())
    session.error = "CUDA failure 700: an illegal memory access was encountered ; GPU=2 ; hostname=h"
    with pytest.raises(EngineBroken, match="CUDA failure 700"):
        model.infer([x], (0,), 1, Memory())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CUDA failure 700: an illegal memory access", True),
        ("x CUDA failure 719: unspecified launch failure ; GPU=0", True),
        ("CUDA failure 2: out of memory", False),
        ("CUDA failure 1: invalid argument", False),
        ("Non-zero status code returned", False),
    ],
)
def test_what_is_fatal(text: str, expected: bool) -> None:
    assert is_fatal(text) == expected


def test_a_gpu_that_is_not_there_is_refused_by_the_real_engine(tmp_path: Path) -> None:
    onnx_files.mlp(tmp_path)
    with pytest.raises(LoadError, match="instance_group: KIND_GPU needs "):
        OnnxRuntime().load(
            tmp_path, SPEC, {KIND_OPTION: "gpu"}, max_batch_known=False, default_max_batch_size=1
        )
