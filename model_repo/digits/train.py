"""Trains digits on scikit-learn's bundled handwritten digits; needs scikit-learn and onnx, offline.

    python -m venv .venvs/train && .venvs/train/bin/pip install scikit-learn onnx
    .venvs/train/bin/python model_repo/digits/train.py

Every fifth image is held out (heldout.npy: 64 pixels 0..16, then the label, a row each, uint8); the
first of them that shows SAMPLE_LABEL becomes sample.json. Seeds are fixed; another BLAS may still
change the last bits of the weights, so the committed file is the model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
OPSET, IR_VERSION = 17, 8
SEED, HIDDEN, SAMPLE_LABEL = 7, 48, 7
BRIGHTEST = 16.0
LEAST_ACCURACY = 0.95


def main() -> None:
    """Trains, checks on the images held out, and writes the model, those images and the sample."""
    digits = load_digits()
    is_held_out = np.arange(len(digits.target)) % 5 == 0
    network = MLPClassifier((HIDDEN,), alpha=1e-2, max_iter=400, random_state=SEED)
    network.fit(digits.data[~is_held_out] / BRIGHTEST, digits.target[~is_held_out])
    images, labels = digits.data[is_held_out], digits.target[is_held_out]
    accuracy = network.score(images / BRIGHTEST, labels)
    print(f"accuracy on {len(labels)} images held out: {accuracy:.4f}")
    if accuracy < LEAST_ACCURACY:
        raise SystemExit(f"below {LEAST_ACCURACY}: nothing written")
    write_model(to_onnx(network))
    np.save(HERE / "heldout.npy", np.column_stack([images, labels]).astype(np.uint8))
    write_sample(images[labels == SAMPLE_LABEL][0])


def to_onnx(network: MLPClassifier) -> ModelProto:
    """FP32 image [batch, 8, 8] of 0..16 to FP32 scores [batch, 10], which sum to one."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("Div", ["flat", "brightest"], ["pixels"]),
        helper.make_node("Gemm", ["pixels", "w0", "b0"], ["z0"]),
        helper.make_node("Relu", ["z0"], ["a0"]),
        helper.make_node("Gemm", ["a0", "w1", "b1"], ["z1"]),
        helper.make_node("Softmax", ["z1"], ["scores"], axis=1),
    ]
    arrays = {"brightest": np.array(BRIGHTEST)}
    for index, (weights, biases) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        arrays |= {f"w{index}": weights, f"b{index}": biases}
    initialisers = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "digits", [image], [scores], initialisers)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="model_repo")


def write_model(model: ModelProto) -> None:
    checker.check_model(model, full_check=True)
    path = HERE / "1" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_sample(image: np.ndarray) -> None:
    """A V2 request with one image, one line of pixels a line of text, so that a reader sees the digit."""
    rows = [", ".join(f"{pixel:2.0f}" for pixel in row) for row in image.reshape(8, 8)]
    data = ",\n  ".join(rows)
    head = '"name": "image", "datatype": "FP32", "shape": [1, 8, 8]'
    (HERE / "sample.json").write_text(f'{{"inputs": [{{{head}, "data": [\n  {data}\n]}}]}}\n')


if __name__ == "__main__":
    main()
