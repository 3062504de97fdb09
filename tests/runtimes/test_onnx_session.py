from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from gateway.core.placement import Accelerator, Accelerators, Place
from gateway.runtimes.contract import LoadError
from gateway.runtimes.onnx_providers import CPU, CUDA, TENSORRT, Machine, Wish
from gateway.runtimes.onnx_session import open_session, session_options
from tests.fakes import onnx_files
from tests.fakes.onnx_engine import FakeEngine

GPU = Machine((CUDA, CPU), 1)
FILE = Path("/srv/models/m/1/model.onnx")


def test_on_the_cpu_by_the_engine_itself(tmp_path: Path) -> None:
    file = onnx_files.mlp(tmp_path) / "model.onnx"
    machine = Machine(onnxruntime.get_available_providers(), 0)
    session, choice = open_session(onnxruntime, file, session_options({}), Wish(), machine)
    assert session.get_providers() == [CPU]
    assert (choice.gpu, choice.note) == (None, "")


def test_an_engine_without_cuda_refuses_a_gpu_by_name(tmp_path: Path) -> None:
    file = onnx_files.mlp(tmp_path) / "model.onnx"
    machine = Machine(onnxruntime.get_available_providers(), 1)
    with pytest.raises(LoadError, match="KIND_GPU needs an onnxruntime with CUDAExecutionProvider"):
        open_session(onnxruntime, file, session_options({}), Wish(Place("gpu")), machine)


def test_on_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine((CUDA, CPU))
    session, choice = open_session(engine, FILE, None, Wish(), GPU)
    assert session.get_providers() == [CUDA, CPU]
    assert (choice.gpu, choice.note) == (0, "on GPU 0 by CUDAExecutionProvider")
    assert engine.is_preloaded
    assert capsys.readouterr().out == ""


def test_what_is_asked_for_by_name_does_not_fall_back() -> None:
    machine = Machine((TENSORRT, CUDA, CPU), 1)
    wish = Wish(accelerators=Accelerators((Accelerator("tensorrt"),)))
    with pytest.raises(LoadError, match="TensorrtExecutionProvider could not be used: "):
        open_session(FakeEngine((CUDA, CPU)), FILE, None, wish, machine)
    raising = FakeEngine((TENSORRT, CUDA, CPU), (TENSORRT,))
    with pytest.raises(LoadError, match=r"^TensorrtExecutionProvider could not be used: .*cannot open"):
        open_session(raising, FILE, None, wish, machine)
    _, choice = open_session(FakeEngine((TENSORRT, CUDA, CPU)), FILE, None, wish, machine)
    assert choice.note == "on GPU 0 by TensorrtExecutionProvider, CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        (
            FakeEngine((CPU,)),
            "CUDAExecutionProvider could not be used: libonnxruntime_providers_cuda.so: cannot open",
        ),
        (
            FakeEngine((CUDA, CPU), (CUDA,)),
            "model.onnx: CUDAExecutionProvider: CUDA failure 35: the driver is",
        ),
    ],
)
def test_a_gpu_that_cannot_be_used(engine: FakeEngine, why: str) -> None:
    session, choice = open_session(engine, FILE, None, Wish(), GPU)
    assert session.get_providers() == [CPU]
    assert choice.gpu is None
    assert choice.note.startswith(f"on the CPU: {why}")
    assert engine.opened == [[CUDA, CPU], [CPU]]
    with pytest.raises(LoadError) as caught:
        open_session(engine, FILE, None, Wish(Place("gpu")), GPU)
    assert str(caught.value).startswith(why)


def test_session_options() -> None:
    made = session_options({})
    assert (made.intra_op_num_threads, made.inter_op_num_threads) == (1, 1)
    assert made.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert made.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    made = session_options({
        "intra_op_thread_count": "2",
        "level": "2",
        "execution_mode": "1",
        "enable_mem_arena": "0",
        "enable_mem_pattern": "0",
        "unknown": "of other engines",
    })
    assert made.intra_op_num_threads == 2
    assert made.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert made.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert (made.enable_cpu_mem_arena, made.enable_mem_pattern) == (False, False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("level", "3"),
        ("level", "x"),
        ("intra_op_thread_count", "-1"),
        ("execution_mode", "2"),
        ("enable_mem_arena", ""),
    ],
)
def test_options_out_of_range_are_named(key: str, value: str) -> None:
    with pytest.raises(LoadError, match=f"parameter '{key}' is '{value}', must be"):
        session_options({key: value})
