"""A gateway that is to look like Triton to clients and dashboards."""

from __future__ import annotations

import os
from pathlib import Path

import grpc

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import gateway
from tests.fakes.onnx_files import identity
from tests.fakes.waiting import until_blocking

SETTINGS = {"GATEWAY_FRONTENDS__COMPAT": "triton", "GATEWAY_TELEMETRY__METRICS_COMPAT": "triton"}
REST = [
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
]
REQUEST = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}


def test_names_are_tritons(tmp_path: Path) -> None:
    identity(tmp_path / "echo" / "1")
    with gateway(tmp_path, "--insecure-dev", environment=SETTINGS) as running:
        told = running.ask("/v2")[1]
        assert (told["name"], told["extensions"]) == ("triton", REST)
        with grpc.insecure_channel(running.grpc) as channel:
            ask = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
            answer = pb.ServerMetadataResponse.FromString(ask(b"", timeout=10))
        assert answer.name == "triton"
        assert list(answer.extensions) == [name for name in REST if name != "binary_tensor_data"]
        assert running.infer("echo", REQUEST)[0] == 200
        assert running.infer("echo", {"inputs": []})[0] == 400
        model = 'model="echo",version="1"'
        until_blocking(lambda: f"nv_inference_request_success{{{model}}}" in running.page())
        until_blocking(
            lambda: running.page().get(f'nv_inference_request_failure{{{model},reason="OTHER"}}') == 1
        )
        assert running.page()[f"nv_inference_request_success{{{model}}}"] == 1
        assert running.page()[f"nv_inference_compute_infer_duration_us{{{model}}}"] > 0
        assert running.page()[f"nv_inference_count{{{model}}}"] == 1
        assert running.page()[f"nv_inference_exec_count{{{model}}}"] == 1
        assert running.page()[f"nv_inference_compute_input_duration_us{{{model}}}"] > 0


def test_devices_are_on_the_page(tmp_path: Path) -> None:
    identity(tmp_path / "echo" / "1")
    path = os.pathsep.join([str(Path("tests/fakes/nvml").absolute()), os.environ.get("PYTHONPATH", "")])
    environment = {**SETTINGS, "PYTHONPATH": path, "GATEWAY_TELEMETRY__DEVICES_S": "0.1"}
    with gateway(tmp_path, environment=environment) as running:
        until_blocking(lambda: "nv_cpu_utilization" in running.page())
        page = running.page()
        assert 0 <= page["nv_cpu_utilization"] <= 1
        assert page["nv_cpu_memory_total_bytes"] > page["nv_cpu_memory_used_bytes"] > 0
        assert page['nv_gpu_utilization{gpu_uuid="GPU-0"}'] == 0.25
        assert page['nv_energy_consumption{gpu_uuid="GPU-0"}'] == 1234.567
        gpus = [name for name in page if name.startswith("nv_gpu") and "GPU-1" in name]
        assert gpus == [f'nv_gpu_memory_{kind}_bytes{{gpu_uuid="GPU-1"}}' for kind in ("total", "used")]
        assert page['gateway_device_power_watts{device="GPU-0",kind="gpu"}'] == 70.5
        assert not [name for name in page if name.startswith(("nv_cache", "nv_pinned"))]
        assert running.stop() == 0
