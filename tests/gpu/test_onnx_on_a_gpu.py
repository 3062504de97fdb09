"""ONNX Runtime on a real GPU: the answers of the CPU, bound inputs and outputs, what cannot be had."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from gateway.core.dtypes import NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.placement import Accelerator, Accelerators, Place
from gateway.runtimes.contract import Array, LoadError
from gateway.runtimes.onnx import OnnxModel, OnnxRuntime
from gateway.runtimes.onnx_signature import ELEMENT_TYPES
from tests.fakes import onnx_files

pytestmark = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="this onnxruntime has no CUDAExecutionProvider",
)
SPEC = ModelSpec("m", 1, "onnxruntime_onnx", "onnxruntime", (), ())
GPU, NONE = Place("gpu"), Accelerators()
ON_GPU = "on GPU 0 by CUDAExecutionProvider"


class Memory:
    """Memory that outputs are written to; `given` counts what was asked for."""

    def __init__(self) -> None:
        self.given: list[Array] = []

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        self.given.append(np.zeros(shape, dtype))
        return self.given[-1]


def load(folder: Path, place: Place = GPU, accelerators: Accelerators = NONE) -> OnnxModel:
    options = {**place.options(), **accelerators.options()}
    return OnnxRuntime().load(folder, SPEC, options, max_batch_known=False, default_max_batch_size=64)


def run(model: OnnxModel, *inputs: Array, memory: Memory | None = None) -> list[Array]:
    return [np.array(one) for one in model.infer(inputs, (0,), len(inputs[0]), memory or Memory())]


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_gpu_answers_what_the_cpu_answers(tmp_path: Path, rows: int) -> None:
    folder = onnx_files.mlp(tmp_path)
    batch = np.random.default_rng(rows).standard_normal((rows, 30)).astype("f4")
    model = load(folder)
    assert model.note == ON_GPU
    for _ in range(3):  # the memory of the first batch is used again
        (found,) = run(model, batch)
        np.testing.assert_allclose(found, run(load(folder, Place("cpu")), batch)[0], rtol=1e-3, atol=1e-4)


def test_who_says_nothing_gets_the_gpu(tmp_path: Path) -> None:
    assert load(onnx_files.mlp(tmp_path), Place()).note == ON_GPU


def test_batches_of_changing_shapes_share_no_memory(tmp_path: Path) -> None:
    model = load(onnx_files.identity(tmp_path))
    for rows, width in [(1, 3), (5, 3), (1, 3), (2, 1000), (5, 3)]:
        batch = np.random.default_rng(rows * width).standard_normal((rows, width)).astype("f4")
        np.testing.assert_array_equal(run(model, batch)[0], batch)


def test_a_large_output_is_written_where_it_is_read(tmp_path: Path) -> None:
    model, memory = load(onnx_files.identity(tmp_path)), Memory()
    batch = np.arange(4 * 100_000, dtype="f4").reshape(4, -1)
    (found,) = model.infer([batch], (0,), 4, memory)
    assert found is memory.given[0]
    np.testing.assert_array_equal(found, batch)


@pytest.mark.parametrize(
    "dtype",
    [one for one in ELEMENT_TYPES if one not in {DType.BYTES, DType.BF16}],
    ids=lambda one: str(one.name),
)
def test_every_datatype(tmp_path: Path, dtype: DType) -> None:
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(NUMPY[dtype]))
    model = load(onnx_files.identity(tmp_path, element))
    batch = np.array([[0, 1, 1], [1, 0, 1]]).astype(NUMPY[dtype])
    np.testing.assert_array_equal(run(model, batch)[0], batch)


def test_bf16_and_text(tmp_path: Path) -> None:
    bits = np.array([[0x3F80, 0x4000]], np.uint16).view(NUMPY[DType.BF16])
    model = load(onnx_files.identity(tmp_path / "bf16", onnx.TensorProto.BFLOAT16))
    np.testing.assert_array_equal(run(model, bits)[0].view(np.uint16), bits.view(np.uint16))
    text = np.array([[b"a", "é".encode()]], object)
    model = load(onnx_files.identity(tmp_path / "text", onnx.TensorProto.STRING))
    assert [str(one) for one in run(model, text)[0].ravel()] == ["a", "é"]


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="KIND_GPU needs GPU 9"):
        load(onnx_files.mlp(tmp_path), Place("gpu", 9))


def test_cuda_by_name_with_its_parameters(tmp_path: Path) -> None:
    wanted = Accelerators(gpu=(Accelerator("cuda", {"gpu_mem_limit": str(1 << 30)}),))
    assert load(onnx_files.mlp(tmp_path), accelerators=wanted).note == ON_GPU


def test_tensorrt_is_had_or_refused_by_name(tmp_path: Path) -> None:
    wanted = Accelerators(gpu=(Accelerator("tensorrt", {"precision_mode": "FP16"}),))
    folder = onnx_files.mlp(tmp_path)
    if importlib.util.find_spec("tensorrt") is None:
        with pytest.raises(LoadError, match="TensorrtExecutionProvider could not be used"):
            load(folder, accelerators=wanted)
    else:
        assert "TensorrtExecutionProvider" in load(folder, accelerators=wanted).note
