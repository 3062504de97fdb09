"""A started gateway with a real GPU: models there and on the CPU side by side, told in the index."""

from __future__ import annotations

import urllib.request
from collections.abc import Generator
from pathlib import Path

import numpy as np
import onnxruntime
import pynvml
import pytest

from tests.fakes import onnx_files
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import write
from tests.fakes.waiting import until_blocking

HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
KINDS = {"gpu": "KIND_GPU", "cpu": "KIND_CPU", "auto": "KIND_AUTO"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    root = tmp_path_factory.mktemp("models")
    for name, kind in KINDS.items():
        onnx_files.mlp(root / name / "1")
        write(
            root / name,
            f"platform: 'onnxruntime_onnx' instance_group {{ kind: {kind} }} dynamic_batching {{ }}",
            "config.pbtxt",
        )
    environment = {"GATEWAY_TELEMETRY__METRICS_COMPAT": "triton", "GATEWAY_WORKERS__WARM_GPU_WORKERS": "1"}
    with gateway(Path(root), "--insecure-dev", environment=environment) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


BODY = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 30], "data": [0.0] * 30}]}


def ask(running: Gateway, model: str, rows: int = 3) -> list[float]:
    batch = np.random.default_rng(7).standard_normal((rows, 30)).astype("f4")
    tensor = {"name": "input", "datatype": "FP32", "shape": [rows, 30], "data": batch.ravel().tolist()}
    status, answer, _ = running.infer(model, {"inputs": [tensor]}, timeout_s=120)
    assert status == 200, answer
    data: list[float] = answer["outputs"][0]["data"]
    return data


@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime has no CUDAExecutionProvider")
def test_all_kinds_answer_alike_and_the_index_tells_where(running: Gateway) -> None:
    expected = ask(running, "cpu")
    for name in ("gpu", "auto"):
        np.testing.assert_allclose(ask(running, name), expected, rtol=1e-3, atol=1e-4)
    _, index, _ = running.ask("/v2/repository/index", {})
    notes = {one["name"]: (one["state"], one.get("reason", "")) for one in index}
    assert notes["cpu"] == ("READY", "")
    assert notes["gpu"] == notes["auto"] == ("READY", "on GPU 0 by CUDAExecutionProvider")


def test_the_metrics_tell_of_the_gpu(running: Gateway) -> None:
    with urllib.request.urlopen(running.metrics, timeout=60) as answer:
        text = answer.read().decode()
    assert "nv_gpu_memory_total_bytes" in text
    assert "gateway_" in text


def test_memory_of_the_gpu_is_counted_and_a_worker_waits_on_it(running: Gateway) -> None:
    ask(running, "cpu")
    capacities = {
        name: value
        for name, value in running.page().items()
        if name.startswith('gateway_model_memory_capacity_bytes{device="')
    }
    assert len(capacities) == 2
    assert all(value > 1 << 30 for value in capacities.values())
    until_blocking(lambda: len(running.processes("gateway-spare")) == 2, 60)


@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime has no CUDAExecutionProvider")
def test_a_model_on_the_gpu_goes_to_zero_and_back(running: Gateway) -> None:
    expected = ask(running, "cpu")
    for _ in range(3):
        until_blocking(lambda: len(running.processes("gateway-spare")) == 2, 60)
        status, answer, _ = running.ask("/v2/repository/models/gpu/unload", {})
        assert status == 200, answer
        status, answer, _ = running.ask("/v2/repository/models/gpu/load", {})
        assert status == 200, answer
        np.testing.assert_allclose(ask(running, "gpu"), expected, rtol=1e-3, atol=1e-4)
    loads = running.page()['gateway_model_loads_total{model="gpu",result="ok",version="1"}']
    assert loads >= 3


NUMBER = 6


def on_the_gpu(root: Path, isolation: str) -> None:
    """Models of the same network, each with its own wish for a process."""
    for number in range(NUMBER):
        onnx_files.mlp(root / f"m{number}" / "1", seed=number)
        wish = f'parameters {{ key: "gateway.isolation" value {{ string_value: "{isolation}" }} }}'
        config = f"platform: 'onnxruntime_onnx' instance_group {{ kind: KIND_GPU }} {wish}"
        write(root / f"m{number}", config, "config.pbtxt")


def taken_by_all(root: Path) -> tuple[int, int, list[list[float]], float]:
    """Loads all of them: worker processes, bytes of the GPU in use, their answers, bytes counted for them."""
    with gateway(root, "--insecure-dev") as started:
        before = gpu_bytes()
        answers = [ask(started, f"m{number}") for number in range(NUMBER)]
        counted = sum(
            size
            for name, size in started.page().items()
            if name.startswith('gateway_model_memory_bytes{device="GPU') and 'stage="loaded"' in name
        )
        workers = len(started.processes("gateway-worker"))
        used = gpu_bytes() - before
        again = [ask(started, f"m{number}") for number in range(NUMBER)]
        assert answers == again
        assert started.stop() == 0, started.log.read_text()
    return workers, used, answers, counted


def gpu_bytes() -> int:
    """What is in use of the card, by everybody."""
    pynvml.nvmlInit()
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used)
    finally:
        pynvml.nvmlShutdown()


@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime has no CUDAExecutionProvider")
def test_models_on_a_whole_gpu_share_a_worker_and_its_context(tmp_path: Path) -> None:
    on_the_gpu(tmp_path / "shared", "auto")
    on_the_gpu(tmp_path / "own", "process")
    shared, own = taken_by_all(tmp_path / "shared"), taken_by_all(tmp_path / "own")
    for name, (workers, used, _, counted) in (("shared", shared), ("own", own)):
        print(
            f"{NUMBER} models, {name}: {workers} workers, {used >> 20} MiB used, {counted:.0f} bytes counted"
        )
    assert (shared[0], own[0]) == (1, NUMBER)
    assert shared[1] < own[1] / 2
    for one, other in zip(shared[2], own[2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime has no CUDAExecutionProvider")
def test_a_killed_shared_worker_is_replaced_and_tenants_come_and_go(tmp_path: Path) -> None:
    on_the_gpu(tmp_path, "auto")
    with gateway(tmp_path, "--insecure-dev") as started:
        expected = [ask(started, f"m{number}") for number in range(NUMBER)]
        (worker,) = started.processes("gateway-worker")
        assert started.ask("/v2/repository/models/m0/unload", {})[0] == 200
        assert ask(started, "m1") == expected[1]
        assert started.ask("/v2/repository/models/m0/load", {})[0] == 200
        assert ask(started, "m0") == expected[0]
        assert [one.pid for one in started.processes("gateway-worker")] == [worker.pid]
        started.kill(worker)
        until_blocking(lambda: started.infer("m0", BODY, 60)[0] == 200, 60)
        assert [ask(started, f"m{number}") for number in range(NUMBER)] == expected
        assert started.stop() == 0, started.log.read_text()
