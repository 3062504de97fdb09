"""Plans, on stand-ins for TensorRT and CUDA's runtime; and the real ones, which are not there."""

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
from gateway.runtimes.contract import BadInput, EngineBroken, LoadError, ModelFailed, note_of
from gateway.runtimes.cuda import Cuda
from gateway.runtimes.tensorrt import PlanModel, TensorrtRuntime
from tests.fakes.cuda import FakeCudart
from tests.fakes.tensorrt import PLAN, Engine, TensorFormat, make_tensorrt
from tests.runtimes.test_onnx import Memory

SPEC = ModelSpec("m", 1, "tensorrt_plan", "tensorrt", (), ())
ANYWHERE = Place()


class Bench:
    """A machine with TensorRT, GPUs and a folder with a plan."""

    def __init__(self, folder: Path, data: bytes = PLAN, gpus: int = 1, room_bytes: int = 1 << 30) -> None:
        (folder / "model.plan").write_bytes(data)
        self.folder = folder
        self.cudart = FakeCudart(gpus, room_bytes)
        self.tensorrt = make_tensorrt(self.cudart)
        self.runtime = TensorrtRuntime(
            lambda: self.tensorrt, lambda device: Cuda(self.cudart, device), lambda: gpus
        )

    def load(self, spec: ModelSpec = SPEC, place: Place = ANYWHERE, *, known: bool = False) -> PlanModel:
        return self.runtime.load(
            self.folder, spec, place.options(), max_batch_known=known, default_max_batch_size=64
        )

    def refusal(self, spec: ModelSpec = SPEC, place: Place = ANYWHERE, *, known: bool = False) -> str:
        with pytest.raises(LoadError) as caught:
            self.load(spec, place, known=known)
        assert "\n" not in str(caught.value)
        assert str(self.folder) not in str(caught.value)
        return str(caught.value)


def run(model: PlanModel, rows: int, memory: Any = None) -> np.ndarray[Any, Any]:
    x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    b = np.array([0.5, 0.25, 0.125], np.float32)
    x.flags.writeable = b.flags.writeable = False
    (found,) = model.infer([x, b], (0,), rows, memory or Memory())
    np.testing.assert_array_equal(found, 2 * x + b)
    return found


def test_a_plan_tells_its_signature_and_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    model = bench.load()
    assert model.spec.max_batch_size == 0, "B has no batch axis"
    assert model.spec.inputs == (TensorSpec("X", DType.FP32, (-1, 3)), TensorSpec("B", DType.FP32, (3,)))
    assert model.spec.outputs == (TensorSpec("Y", DType.FP32, (-1, 3)),)
    assert note_of(model) == "on GPU 0 by TensorRT 10.13.0.35"
    run(model, 2)
    run(model, 4)


def test_the_profile_follows_from_the_shapes(tmp_path: Path) -> None:
    model = Bench(tmp_path).load()
    for rows, profile in ((1, 0), (32, 1), (8, 1), (4, 0)):
        run(model, rows)
        assert model._plan.context.profile == profile
    with pytest.raises(BadInput) as caught:
        run(model, 6)
    assert str(caught.value) == (
        "no optimization profile of the plan takes 'X' [6, 3] (it takes [1, 3] to [4, 3] or [8, 3] to "
        "[32, 3]), 'B' [3] (it takes [3] to [3])"
    )


def test_memory_on_the_device_grows_and_is_given_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    model = bench.load()
    for rows in (1, 4, 2, 32, 1):
        run(model, rows)
        assert len(bench.cudart.memory) == 3
    assert sorted(len(one) for one in bench.cudart.memory.values()) == [12, 32 * 12, 32 * 12]
    model.close()
    assert (bench.cudart.memory, bench.cudart.streams) == ({}, set())


def test_large_outputs_go_where_the_front_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runtimes.tensorrt._LARGE_BYTES", 100)
    model, memory = Bench(tmp_path).load(), Memory()
    run(model, 1, memory)
    assert memory.given == []
    found = run(model, 16, memory)
    assert [one is found for one in memory.given] == [True]
    run(model, 16, Memory(is_full=True))


def test_a_batch_that_fails_fails_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, room_bytes=200)
    model = bench.load()
    with pytest.raises(ModelFailed, match=r"^cudaMalloc: CUDA failure 2: out of memory$"):
        run(model, 32)
    assert bench.cudart.work == []
    run(model, 4)


def test_a_lost_device_ends_the_worker(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    model = bench.load()
    bench.cudart.fails["cudaStreamSynchronize"] = 700
    with pytest.raises(EngineBroken, match="CUDA failure 700: an illegal memory access"):
        run(model, 1)


def test_the_engines_own_no_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Bench(tmp_path).load()
    monkeypatch.setattr(
        type(model._plan.context), "set_input_shape", lambda self, name, shape: self._no("odd")
    )
    with pytest.raises(
        ModelFailed, match=r"^TensorRT: \[x.cpp::f::1\] Error Code 3: API Usage Error \(odd\)$"
    ):
        run(model, 1)


def test_an_output_whose_shape_depends_on_values_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Bench(tmp_path).load()
    monkeypatch.setattr(type(model._plan.context), "get_tensor_shape", lambda *_: (-1, 3))
    with pytest.raises(ModelFailed, match="the shape of output 'Y' depends on values"):
        run(model, 1)


# ---- loads that fail ----------------------------------------------------------------------------


def test_a_plan_of_another_release(tmp_path: Path) -> None:
    told = Bench(tmp_path, b"ftrt 8.6").refusal()
    assert told.startswith("model.plan: TensorRT 10.13.0.35: IRuntime::deserializeCudaEngine: Error Code 1")
    assert "Version tag does not match. Note: Current Version: 240, Serialized Engine Version: 228" in told


def test_no_memory_for_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    init = Engine.__init__

    def without_memory(self: Engine, *arguments: Any) -> None:
        init(self, *arguments)
        self.has_memory = False

    monkeypatch.setattr(Engine, "__init__", without_memory)
    assert bench.refusal().endswith("Error Code 2: OutOfMemory (no room)")


@pytest.mark.parametrize(
    ("gpus", "place", "told"),
    [
        (0, Place(), "a TensorRT plan needs GPU 0, and no GPU is visible"),
        (2, Place("gpu", 3), "a TensorRT plan needs GPU 3, and only 2 are visible"),
    ],
)
def test_no_such_gpu(tmp_path: Path, gpus: int, place: Place, told: str) -> None:
    assert Bench(tmp_path, gpus=gpus).refusal(place=place) == told


def test_the_device_is_the_instances(tmp_path: Path) -> None:
    assert Bench(tmp_path, gpus=2).load(place=Place("gpu", 1)).note == "on GPU 1 by TensorRT 10.13.0.35"


def test_no_front_runs_one_and_a_file_must_be_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    inline = msgspec.structs.replace(SPEC, isolation="inline")
    assert bench.refusal(inline) == "'model.plan' never runs in a front: gateway.isolation inline"
    (tmp_path / "model.plan").unlink()
    assert bench.refusal() == "there is no file 'model.plan' in the version's folder"


def test_tensors_that_are_not_linear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "get_tensor_format", lambda self, name: TensorFormat.CHW2)
    assert "'X' is not stored row by row: build the plan with linear formats" in Bench(tmp_path).refusal()


def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = make_tensorrt(FakeCudart(), "8.6.1")
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    (tmp_path / "model.plan").write_bytes(PLAN)
    with pytest.raises(LoadError, match=r"TensorRT plans need TensorRT 10, this is 8.6.1"):
        TensorrtRuntime().load(tmp_path, SPEC, {}, max_batch_known=False, default_max_batch_size=1)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.plan").write_bytes(PLAN)
    with pytest.raises(LoadError) as caught:
        TensorrtRuntime().load(tmp_path, SPEC, {}, max_batch_known=False, default_max_batch_size=1)
    assert str(caught.value) == (
        "TensorRT plans need the extra 'tensorrt' (pip install 'model-gateway[tensorrt]'): "
        "No module named 'tensorrt'"
    )
