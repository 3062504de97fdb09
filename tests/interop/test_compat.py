"""A gateway that is to look like Triton to clients and dashboards."""

from __future__ import annotations

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
        until_blocking(lambda: f"nv_inference_request_success{{{model}}}" in running.page(), 5)
        until_blocking(
            lambda: running.page().get(f'nv_inference_request_failure{{{model},reason="OTHER"}}') == 1, 5
        )
        assert running.page()[f"nv_inference_request_success{{{model}}}"] == 1
        assert running.page()[f"nv_inference_compute_infer_duration_us{{{model}}}"] > 0
        assert running.page()[f"nv_inference_count{{{model}}}"] == 1
        assert running.page()[f"nv_inference_exec_count{{{model}}}"] == 1
        assert running.page()[f"nv_inference_compute_input_duration_us{{{model}}}"] > 0
