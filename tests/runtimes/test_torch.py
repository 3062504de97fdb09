"""PyTorch models; most of it needs PyTorch, which is an extra."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.placement import Place
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, LoadError, ModelFailed
from gateway.runtimes.torch import TorchModel, TorchRuntime

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


def spec(inputs: str, outputs: str, dtype: DType = DType.FP32, shape: tuple[int, ...] = (4,)) -> ModelSpec:
    """Of a model whose tensors are alike."""
    return ModelSpec(
        "m",
        1,
        "pytorch_libtorch",
        "pytorch",
        tuple(TensorSpec(name, dtype, shape) for name in inputs.split()),
        tuple(TensorSpec(name, dtype, shape) for name in outputs.split()),
        8,
    )


ADD_SUB = spec("INPUT__0 INPUT__1", "OUTPUT__0 OUTPUT__1")
A, B = np.arange(8, dtype=np.float32).reshape(2, 4), np.full((2, 4), 3, np.float32)


class Memory:
    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        return None


def load(folder: Path, of: ModelSpec, **options: str) -> TorchModel:
    return TorchRuntime().load(folder, of, options, max_batch_known=True, default_max_batch_size=64)


def run(model: TorchModel, *inputs: Array, outputs: tuple[int, ...] = (0, 1)) -> list[Array]:
    for array in inputs:
        array.flags.writeable = False
    return list(model.infer(inputs, outputs, len(inputs[0]), Memory()))


def test_without_pytorch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(LoadError, match="need the extra 'torch'"):
        load(tmp_path, ADD_SUB)


def test_what_is_wrong_before_pytorch_is_needed(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"there is no file 'model\.pt'"):
        load(tmp_path, ADD_SUB)
    (tmp_path / "model.pt").write_bytes(b"PK")
    with pytest.raises(LoadError, match="never runs in a front"):
        load(tmp_path, msgspec.structs.replace(ADD_SUB, isolation="inline"))
    with pytest.raises(LoadError, match="must name the inputs and outputs"):
        load(tmp_path, spec("", "y"))


@needs_torch
def test_a_gpu_that_was_asked_for_is_had_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pt").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(LoadError, match="KIND_GPU needs GPU 0, and no GPU is visible"):
        load(tmp_path, ADD_SUB, **Place("gpu").options())


@needs_torch
def test_torchscript_by_position(tmp_path: Path) -> None:
    from tests.fakes import torch_files

    model = load(torch_files.script(tmp_path, torch_files.AddSub()), ADD_SUB)
    total, difference = run(model, A, B)
    np.testing.assert_array_equal(total, A + B)
    np.testing.assert_array_equal(difference, A - B)
    (only,) = run(model, A, B, outputs=(1,))
    np.testing.assert_array_equal(only, A - B)
    model.close()


@needs_torch
def test_torchscript_by_name(tmp_path: Path) -> None:
    from tests.fakes import torch_files

    folder = torch_files.script(tmp_path, torch_files.AddSub())
    total, difference = run(load(folder, spec("b a", "sum__0 difference__1")), B, A)
    np.testing.assert_array_equal(difference, A - B)
    np.testing.assert_array_equal(total, A + B)


@needs_torch
@pytest.mark.parametrize("kind", ["script", "exported"])
def test_a_dict_comes_back_by_its_keys_and_inputs_stay(tmp_path: Path, kind: str) -> None:
    import torch

    from tests.fakes import torch_files

    if kind == "script":
        model = load(torch_files.script(tmp_path, torch_files.Named()), spec("x", "double same"))
    else:
        torch_files.exported(tmp_path, torch_files.Named(), torch.ones(2, 4))
        model = load(tmp_path, spec("x", "double same"), default_model_filename="model.pt2")
    before = A.copy()
    double, same = run(model, A)
    np.testing.assert_array_equal(double, A * 2)
    np.testing.assert_array_equal(same, before)
    np.testing.assert_array_equal(A, before)


@needs_torch
def test_an_exported_program(tmp_path: Path) -> None:
    import torch

    from tests.fakes import torch_files

    torch_files.exported(tmp_path, torch_files.AddSub(), torch.ones(2, 4), torch.ones(2, 4))
    model = load(tmp_path, ADD_SUB, default_model_filename="model.pt2")
    total, difference = run(model, A[:1], B[:1])
    np.testing.assert_array_equal(total, (A + B)[:1])
    np.testing.assert_array_equal(difference, (A - B)[:1])


@needs_torch
@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.BYTES])
def test_every_datatype_comes_through(tmp_path: Path, dtype: DType) -> None:
    import torch

    from gateway.core.dtypes import NUMPY
    from tests.fakes import torch_files

    class Same(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    model = load(torch_files.script(tmp_path, Same()), spec("x", "y", dtype))
    raw = np.random.default_rng(2).integers(0, 2, (3, 4)).astype(NUMPY[dtype])
    (found,) = run(model, raw, outputs=(0,))
    assert found.dtype == NUMPY[dtype]
    np.testing.assert_array_equal(found, raw)


@needs_torch
def test_an_exception_is_one_line_without_the_models_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.fakes import torch_files

    model = load(torch_files.script(tmp_path, torch_files.Picks()), spec("x", "y", DType.INT64))
    with pytest.raises(ModelFailed) as caught:
        run(model, np.full((1, 4), 99, np.int64), outputs=(0,))
    assert "out of" in str(caught.value)
    assert "arange" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "arange" in capsys.readouterr().err


@needs_torch
def test_an_answer_that_lacks_an_output(tmp_path: Path) -> None:
    from tests.fakes import torch_files

    model = load(torch_files.script(tmp_path, torch_files.AddSub()), spec("a b", "y__2"))
    with pytest.raises(ModelFailed, match="lacks output 'y__2'"):
        run(model, A, B, outputs=(0,))


@needs_torch
@pytest.mark.parametrize("name", ["model.pt", "model.pt2"])
@pytest.mark.parametrize("raw", [b"", b"garbage", b"\0" * 1000])
def test_a_damaged_file_is_one_line_without_a_path(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(LoadError) as caught:
        load(tmp_path, ADD_SUB, default_model_filename=name)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@needs_torch
def test_options(tmp_path: Path) -> None:
    import torch

    from tests.fakes import torch_files

    folder = torch_files.script(tmp_path, torch_files.AddSub())
    run(load(folder, ADD_SUB, INTRA_OP_THREAD_COUNT="2", INFERENCE_MODE="false"), A, B)
    assert torch.get_num_threads() == 2
    load(folder, ADD_SUB)
    assert torch.get_num_threads() == 1
    with pytest.raises(LoadError, match="parameter 'INFERENCE_MODE' is 'maybe', must be true or false"):
        load(folder, ADD_SUB, INFERENCE_MODE="maybe")
