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


def mlp(path: Path, seed: int = 0) -> Path:
    """input FP32 [-1,30] to output FP32 [-1,1] by 64 and 32 units, sigmoid at the end."""
    draw, sizes, nodes, weights, last = np.random.default_rng(seed), (30, 64, 32, 1), [], [], "input"
    for i, (before, after) in enumerate(pairwise(sizes)):
        weights.append((f"w{i}", draw.standard_normal((before, after)).astype("f4")))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]))
        last = "output" if after == 1 else f"a{i}"
        nodes.append(helper.make_node("Sigmoid" if after == 1 else "Relu", [f"m{i}"], [last]))
    ends = [("input", TensorProto.FLOAT, ["n", 30])], [("output", TensorProto.FLOAT, ["n", 1])]
    return save(path, nodes, *ends, weights)


def table(path: Path) -> Path:
    """Y = one of three numbers, by the index X; another index is the caller's fault."""
    numbers = np.array([10.0, 20.0, 30.0], "f4")
    ends: list[list[Info]] = [[("X", TensorProto.INT64, ["n", 1])], [("Y", TensorProto.FLOAT, ["n", 1])]]
    return save(path, [helper.make_node("Gather", ["numbers", "X"], ["Y"])], *ends, [("numbers", numbers)])


def scaled(path: Path, *, has_default: bool = True) -> Path:
    """Y = X * SCALE of shape [n,1], which is 2 where it is not given, or must be given."""
    ends: list[list[Info]] = [
        [("X", TensorProto.FLOAT, ["n", "d"]), ("SCALE", TensorProto.FLOAT, ["n", 1])],
        [("Y", TensorProto.FLOAT, ["n", "d"])],
    ]
    weights = [("SCALE", np.array([[2.0]], "f4"))] if has_default else []
    return save(path, [helper.make_node("Mul", ["X", "SCALE"], ["Y"])], *ends, weights)


def scaled_by_option(path: Path) -> Path:
    """The same by an input of ONNX's own optional type."""
    there = helper.make_graph(
        [helper.make_node("OptionalGetElement", ["SCALE"], ["given"])],
        "there",
        [],
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, ["n", 1])],
    )
    two = numpy_helper.from_array(np.array([[2.0]], "f4"))
    absent = helper.make_graph(
        [helper.make_node("Constant", [], ["two"], value=two)],
        "absent",
        [],
        [helper.make_tensor_value_info("two", TensorProto.FLOAT, [1, 1])],
    )
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 1]))
    nodes = [
        helper.make_node("OptionalHasElement", ["SCALE"], ["is_there"]),
        helper.make_node("If", ["is_there"], ["scale"], then_branch=there, else_branch=absent),
        helper.make_node("Mul", ["X", "scale"], ["Y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", "d"]),
            helper.make_value_info("SCALE", kind),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", "d"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path / "model.onnx")
    return path


def three_only(path: Path) -> Path:
    """Y = X of shape [1,3]; the engine raises over any other."""
    ends: list[list[Info]] = [
        [("X", TensorProto.FLOAT, ["n", "d"])],
        [("Y", TensorProto.FLOAT, [1, 3])],
    ]
    shape = ("shape", np.array([1, 3], np.int64))
    return save(path, [helper.make_node("Reshape", ["X", "shape"], ["Y"])], *ends, [shape])


def busy(path: Path) -> Path:
    """Y = X of shape [1,1], after as many turns of a loop as X says: a million take one to three seconds."""
    kinds = (
        ("turn", TensorProto.INT64, []),
        ("go_on", TensorProto.BOOL, []),
        ("x", TensorProto.FLOAT, [1, 1]),
    )
    results = (("still", TensorProto.BOOL, []), ("same", TensorProto.FLOAT, [1, 1]))
    turn = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("Identity", ["x"], ["same"])],
        "turn",
        [helper.make_tensor_value_info(*one) for one in kinds],
        [helper.make_tensor_value_info(*one) for one in results],
    )
    nodes = [
        helper.make_node("Cast", ["X"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["whole"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "X"], ["Y"], body=turn),
    ]
    return save(path, nodes, [("X", TensorProto.FLOAT, [1, 1])], [("Y", TensorProto.FLOAT, [1, 1])])
