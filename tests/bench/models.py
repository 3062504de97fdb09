"""The models under load, as repositories in a folder: the same weights for every server."""

from __future__ import annotations

import shutil
from pathlib import Path

COMMITTED = Path("model_repo")
FRAUD_ONNX = COMMITTED / "fraud" / "1" / "model.onnx"

_FRAUD_CONFIG = """
name: "%s"
backend: "%s"
max_batch_size: 64
input [ { name: "features" data_type: TYPE_FP32 dims: [ 30 ] } ]
output [ { name: "score" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { }
"""
_IDENTITY_CONFIG = """
name: "identity"
backend: "python"
max_batch_size: 0
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1, -1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1, -1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""
_CHAIN_CONFIG = """
platform: "ensemble"
max_batch_size: 64
input [ { name: "features" data_type: TYPE_FP32 dims: [ 30 ] } ]
output [ { name: "score" data_type: TYPE_FP32 dims: [ 1 ] } ]
ensemble_scheduling { step [
  { model_name: "first" model_version: -1
    input_map { key: "INPUT0" value: "features" } output_map { key: "OUTPUT0" value: "one" } },
  { model_name: "second" model_version: -1
    input_map { key: "INPUT0" value: "one" } output_map { key: "OUTPUT0" value: "two" } },
  { model_name: "fraud" model_version: -1
    input_map { key: "features" value: "two" } output_map { key: "score" value: "score" } }
] }
"""
_INLINE = """
parameters { key: "gateway.isolation" value: { string_value: "inline" } }
"""

# Triton's Python backend: the whole batch in one ONNX Runtime call on one thread, as its users write it.
_TRITON_FRAUD = """
import os
import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name

    def execute(self, requests):
        arrays = [pb_utils.get_input_tensor_by_name(r, self.input).as_numpy() for r in requests]
        joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        (result,) = self.session.run([self.output], {self.input: joined})
        responses, at = [], 0
        for array in arrays:
            part = result[at:at + len(array)]
            at += len(array)
            tensor = pb_utils.Tensor(self.output, part)
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
"""

_TRITON_IDENTITY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            tensor = pb_utils.Tensor("OUTPUT0", array)
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
"""


def write_gateway_repository(folder: Path, *, inline: bool = False) -> None:
    """The committed `fraud` and `identity`; `inline` asks that fraud run inside the front."""
    write_fraud(folder, "fraud", _INLINE if inline else "")
    shutil.copytree(COMMITTED / "identity", folder / "identity")


def write_fraud(folder: Path, name: str, more: str = "") -> None:
    """A fraud model under `name`, `more` at the end of its config.pbtxt."""
    _write(
        folder / name, {"model.onnx": FRAUD_ONNX.read_bytes()}, _FRAUD_CONFIG % (name, "onnxruntime") + more
    )


def write_ensemble_repository(folder: Path) -> None:
    """`chain`: two copies of identity and then fraud; and these three."""
    for name in ("first", "second"):
        shutil.copytree(COMMITTED / "identity", folder / name)
    write_fraud(folder, "fraud")
    _write(folder / "chain", {}, _CHAIN_CONFIG)


def write_many(folder: Path, count: int) -> list[str]:
    """`count` copies of fraud, a repository of many small models; returns their names."""
    names = [f"fraud_{number:03}" for number in range(count)]
    for name in names:
        write_fraud(folder, name)
    return names


def write_triton_repository(folder: Path) -> None:
    """The same two models for Triton's Python backend."""
    files = {"model.py": _TRITON_FRAUD.encode(), "model.onnx": FRAUD_ONNX.read_bytes()}
    _write(folder / "fraud", files, _FRAUD_CONFIG % ("fraud", "python"))
    _write(folder / "identity", {"model.py": _TRITON_IDENTITY.encode()}, _IDENTITY_CONFIG)


def _write(model: Path, files: dict[str, bytes], config: str) -> None:
    version = model / "1"
    version.mkdir(parents=True)
    for name, content in files.items():
        (version / name).write_bytes(content)
    (model / "config.pbtxt").write_text(config)
