"""Repositories of small models, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.onnx_files import save

_CONFIG = """platform: "onnxruntime_onnx"
max_batch_size: 64
input {{ name: "X" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }}
dynamic_batching {{ }}
{more}
"""


def parameter(key: str, value: str) -> str:
    """A line of config.pbtxt."""
    return f"parameters {{ key: '{key}' value {{ string_value: '{value}' }} }}"


def add_number(folder: Path, number: float) -> Path:
    """Y = X + number: a version that can be told from another by its answer."""
    ends = [("X", TensorProto.FLOAT, ["n", 4])], [("Y", TensorProto.FLOAT, ["n", 4])]
    weights = [("number", np.array([number], "f4"))]
    return save(folder, [helper.make_node("Add", ["X", "number"], ["Y"])], *ends, weights)


def many(root: Path, count: int, more: str = "") -> None:
    """`count` models m0, m1, … which are all the same."""
    root.mkdir(parents=True, exist_ok=True)
    file = (add_number(root / "m0" / "1", 1.0) / "model.onnx").read_bytes()
    config = _CONFIG.format(more=more)
    for number in range(count):
        folder = root / f"m{number}" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / "config.pbtxt").write_text(config)
        if number:
            (folder / "model.onnx").write_bytes(file)


def versions(root: Path, name: str, *numbers: int, more: str = "") -> None:
    """A model whose version n answers X + n."""
    for number in numbers:
        add_number(root / name / str(number), float(number))
    (root / name / "config.pbtxt").write_text(_CONFIG.format(more=more))


def sized(root: Path, name: str, mebibytes: int) -> None:
    """A model that takes so much memory: Y = X + the sum of its weights, which are zeros."""
    zeros = numpy_helper.from_array(np.zeros(mebibytes << 18, "f4"), "weights")
    nodes = [
        helper.make_node("ReduceSum", ["weights"], ["sum"], keepdims=0),
        helper.make_node("Add", ["X", "sum"], ["Y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sized",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", 4])],
        [zeros],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder = root / name / "1"
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    (folder.parent / "config.pbtxt").write_text(_CONFIG.format(more=parameter("level", "2")))
