"""Models that ask for a GPU, behind a gateway that sees none: refused by name, or told in the index."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import onnx_files
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import DOUBLER_CONFIG, OWN, add_model, write
from tests.fakes.tensorrt import PLAN

TENSORRT = """
    optimization { execution_accelerators { gpu_execution_accelerator {
        name: "tensorrt" parameters { key: "precision_mode" value: "FP16" }
    } } }
"""
CONFIGS = {
    "plain": "",
    "auto": TENSORRT,
    "cpu": f"instance_group {{ kind: KIND_CPU }} {TENSORRT}",
    "gpu": "instance_group { kind: KIND_GPU }",
    "listed": "instance_group { gpus: [ 3 ] }",
    "openvino": "optimization { execution_accelerators { cpu_execution_accelerator { name: 'openvino' } } }",
    "typo": TENSORRT.replace("precision_mode", "precision"),
}
HAS_TENSORRT = importlib.util.find_spec("tensorrt") is not None
NO_GPU = "and no GPU is visible"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    root = tmp_path_factory.mktemp("models")
    for name, config in CONFIGS.items():
        onnx_files.identity(root / name / "1")
        write(root / name, f"platform: 'onnxruntime_onnx' {config}", "config.pbtxt")
    add_model(root, "python", OWN, f"{DOUBLER_CONFIG} instance_group {{ kind: KIND_GPU }}")
    # Nothing says which engine, until the file is seen.
    add_model(root, "unnamed", OWN, f"{DOUBLER_CONFIG.replace('backend', '# backend')} {TENSORRT}")
    write(root / "plan" / "1", "no plan at all", "model.plan")
    environment = {"CUDA_VISIBLE_DEVICES": "", "GATEWAY_WORKERS__LOAD_FAILURE_MEMORY_S": "600"}
    with gateway(Path(root), "--insecure-dev", environment=environment) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def ask(running: Gateway, model: str) -> tuple[int, Any]:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
    status, answer, _ = running.infer(model, {"inputs": [tensor]})
    return status, answer["outputs"][0]["data"] if status == 200 else answer["error"]


def indexed(running: Gateway, model: str) -> tuple[str, str]:
    _, index, _ = running.ask("/v2/repository/index", {})
    (told,) = [one for one in index if one["name"] == model]
    return told["state"], told.get("reason", "")


@pytest.mark.parametrize(
    ("model", "note"),
    [
        ("plain", ""),
        (
            "auto",
            "on the CPU: no GPU is visible, so gpu_execution_accelerator 'tensorrt' means nothing",
        ),
        (
            "cpu",
            "on the CPU: instance_group says KIND_CPU, so gpu_execution_accelerator 'tensorrt' means nothing",
        ),
    ],
)
def test_what_runs_on_the_cpu_instead_says_so(running: Gateway, model: str, note: str) -> None:
    assert ask(running, model) == (200, [1.0, 2.0])
    assert indexed(running, model) == ("READY", note)
    assert note in running.log.read_text()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("gpu", f"instance_group: KIND_GPU needs GPU 0, {NO_GPU}"),
        ("listed", f"instance_group: KIND_GPU needs GPU 3, {NO_GPU}"),
        ("python", f"instance_group: KIND_GPU needs GPU 0, {NO_GPU}"),
        ("openvino", "cpu_execution_accelerator[0]: 'openvino' needs an onnxruntime with OpenVINOExecution"),
        (
            "plan",
            "a TensorRT plan needs GPU 0" if HAS_TENSORRT else "TensorRT plans need the extra 'tensorrt'",
        ),
        ("unnamed", "optimization.execution_accelerators is not supported for this kind of model"),
        ("typo", "gpu_execution_accelerator[0].parameters['precision']: is not supported"),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_field(running: Gateway, model: str, reason: str) -> None:
    status, error = ask(running, model)
    assert status in {404, 503}
    assert reason in error
    state, told = indexed(running, model)
    assert state == "UNAVAILABLE"
    assert reason in told


def test_a_plan_from_the_folder_to_the_caller_on_stand_ins_for_its_engine(tmp_path: Path) -> None:
    (tmp_path / "plan" / "1").mkdir(parents=True)
    (tmp_path / "plan" / "1" / "model.plan").write_bytes(PLAN)
    environment = {"GATEWAY_WORKERS__RUNTIMES": '{"tensorrt": "tests.fakes.tensorrt:StandIn"}'}
    with gateway(tmp_path, "--insecure-dev", environment=environment) as running:
        b = {"name": "B", "datatype": "FP32", "shape": [3], "data": [0.5, 0.5, 0.5]}
        x = {"name": "X", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}
        status, answer, _ = running.infer("plan", {"inputs": [x, b]})
        assert (status, answer["outputs"][0]["data"]) == (200, [2.5, 4.5, 6.5])
        many = {**x, "shape": [6, 3], "data": [1.0] * 18}
        status, answer, _ = running.infer("plan", {"inputs": [many, b]})
        assert status == 400
        assert "no optimization profile of the plan takes 'X' [6, 3]" in answer["error"]
        assert indexed(running, "plan") == ("READY", "on GPU 0 by TensorRT 10.13.0.35")
        _, told, _ = running.ask("/v2/models/plan/config")
        assert (told["platform"], told["default_model_filename"]) == ("tensorrt_plan", "model.plan")
        assert told["instance_group"][0]["kind"] == "KIND_GPU"
        assert running.stop() == 0, running.log.read_text()
