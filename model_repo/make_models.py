"""Builds fraud, simple and identity; the same bytes on every run.

    .venv/bin/python model_repo/make_models.py [FOLDER]

Weights come from a Philox generator's raw 64-bit words rather than from numpy's distributions, whose
streams may change between numpy releases. IR 8 and opset 17 are what ONNX Runtime has read since 1.14.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

HERE = Path(__file__).resolve().parent
OPSET, IR_VERSION = 17, 8
FRAUD_SEED = 30_641
FRAUD_SIZES = (30, 64, 32, 1)


def main(target: Path) -> None:
    """Writes version 1 of each model into its folder under `target`."""
    for name, model in {"fraud": fraud(), "simple": simple(), "identity": identity()}.items():
        save(model, target / name / "1" / "model.onnx")


def save(model: ModelProto, path: Path) -> None:
    checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def build(name: str, nodes: list, inputs: list, outputs: list, weights: list) -> ModelProto:
    """A model with nothing in it that depends on when or by which release it was made."""
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="model_repo")


def fraud() -> ModelProto:
    """FP32 features [batch, 30] to FP32 score [batch, 1]: a 30-64-32-1 MLP, ReLU, then a sigmoid."""
    nodes, weights, last = [], [], "features"
    layers = list(pairwise(FRAUD_SIZES))
    source = np.random.Philox(FRAUD_SEED)
    for index, (rows, columns) in enumerate(layers):
        weights += [
            numpy_helper.from_array(uniform(source, (rows, columns)), f"w{index}"),
            numpy_helper.from_array(np.zeros(columns, np.float32), f"b{index}"),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [f"z{index}"]))
        is_last = index == len(layers) - 1
        last = "score" if is_last else f"a{index}"
        nodes.append(helper.make_node("Sigmoid" if is_last else "Relu", [f"z{index}"], [last]))
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 30])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])
    return build("fraud", nodes, [features], [score], weights)


def uniform(source: np.random.Philox, shape: tuple[int, int]) -> np.ndarray:
    """Uniform in +-sqrt(6 / rows): He's bound, so that activations neither die nor grow by layer."""
    words = np.array(source.random_raw(shape[0] * shape[1]), dtype=np.uint64)
    unit = (words >> np.uint64(40)).astype(np.float64) / (1 << 24)
    return ((2 * unit - 1) * np.sqrt(6 / shape[0])).astype(np.float32).reshape(shape)


def simple() -> ModelProto:
    """INT32 INPUT0, INPUT1 [batch, 16] to their sum OUTPUT0 and difference OUTPUT1."""
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    infos = {
        name: helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", 16])
        for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")
    }
    inputs, outputs = [infos["INPUT0"], infos["INPUT1"]], [infos["OUTPUT0"], infos["OUTPUT1"]]
    return build("simple", nodes, inputs, outputs, [])


def identity() -> ModelProto:
    """FP32 INPUT0 [batch, length] to the same OUTPUT0; both axes share their names, so sizes are known."""
    node = helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])
    source = helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, ["batch", "length"])
    result = helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, ["batch", "length"])
    return build("identity", [node], [source], [result], [])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
