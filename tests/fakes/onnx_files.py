"""Small ONNX files, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Info = tuple[str, int, Sequence[Any]]


def save(
    path: Path, nodes: Sequence[Any], inputs: Sequence[Info], outputs: Sequence[Info], weights: Any = ()
) -> Path:
    """Writes model.onnx into the folder `path` and returns the folder."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path / "model.onnx")
    return path


def identity(path: Path, element: int = TensorProto.FLOAT, dims: Sequence[Any] = ("n", "d")) -> Path:
    """Y = X."""
    return save(
        path, [helper.make_node("Identity", ["X"], ["Y"])], [("X", element, dims)], [("Y", element, dims)]
    )


def mlp(path: Path) -> Path:
    """input FP32 [-1,30] to output FP32 [-1,1] by 64 and 32 units, sigmoid at the end."""
    draw, sizes, nodes, weights, last = np.random.default_rng(0), (30, 64, 32, 1), [], [], "input"
    for i, (before, after) in enumerate(pairwise(sizes)):
        weights.append((f"w{i}", draw.standard_normal((before, after)).astype("f4")))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]))
        last = "output" if after == 1 else f"a{i}"
        nodes.append(helper.make_node("Sigmoid" if after == 1 else "Relu", [f"m{i}"], [last]))
    ends = [("input", TensorProto.FLOAT, ["n", 30])], [("output", TensorProto.FLOAT, ["n", 1])]
    return save(path, nodes, *ends, weights)
