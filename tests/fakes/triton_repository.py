"""A repository as somebody brings it from Triton: every kind of model at once, and one that is broken.

Names are those of Triton's example models where there is one. `KINDS` is the whole of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper

from tests.fakes.ensembles import Row, add_ensemble, config_of
from tests.fakes.onnx_files import identity, save
from tests.fakes.python_files import REPEAT, REPEAT_CONFIG, add_model, write

OWN_MODELS = Path(__file__).parents[2] / "model_repo"
LABELS = ("cat", "dog", "fish", "owl", "yak")
BROKEN = "broken"


class Kind(NamedTuple):
    """One model: its folder's name and what makes it."""

    name: str
    add: Callable[[Path, str], None]


def build(root: Path) -> Path:
    """All of `KINDS` in the folder `root`, which is returned."""
    for kind in KINDS:
        kind.add(root, kind.name)
    return root


# ---- ONNX -----------------------------------------------------------------------------------------


def _pair(datatype: str, *, max_batch_size: int = 8) -> str:
    """The configuration of two inputs and two outputs of 16 elements, as Triton's examples have them."""
    tensors = [
        f'{kind.lower()} {{ name: "{kind}{index}" data_type: {datatype} dims: [ 16 ] }}'
        for kind in ("INPUT", "OUTPUT")
        for index in (0, 1)
    ]
    return f'platform: "onnxruntime_onnx"\nmax_batch_size: {max_batch_size}\n' + "\n".join(tensors)


def _simple(root: Path, name: str) -> None:
    shutil.copytree(OWN_MODELS / "simple", root / name)


def _simple_int8(root: Path, name: str) -> None:
    ends = [
        [(f"{kind}{index}", TensorProto.INT8, ["n", 16]) for index in (0, 1)] for kind in ("INPUT", "OUTPUT")
    ]
    # The engine adds no INT8.
    nodes = [helper.make_node("Cast", [f"INPUT{i}"], [f"wide{i}"], to=TensorProto.INT32) for i in (0, 1)]
    for index, operation in enumerate(("Add", "Sub")):
        nodes.append(helper.make_node(operation, ["wide0", "wide1"], [f"sum{index}"]))
        nodes.append(helper.make_node("Cast", [f"sum{index}"], [f"OUTPUT{index}"], to=TensorProto.INT8))
    save(root / name / "1", nodes, *ends)
    write(root / name, _pair("TYPE_INT8"), "config.pbtxt")


def _simple_string(root: Path, name: str) -> None:
    """Sum and difference of numbers that are written out."""
    ends = [
        [(f"{kind}{index}", TensorProto.STRING, ["n", 16]) for index in (0, 1)]
        for kind in ("INPUT", "OUTPUT")
    ]
    nodes = [helper.make_node("Cast", [f"INPUT{i}"], [f"number{i}"], to=TensorProto.INT32) for i in (0, 1)]
    for index, operation in enumerate(("Add", "Sub")):
        nodes.append(helper.make_node(operation, ["number0", "number1"], [f"sum{index}"]))
        nodes.append(helper.make_node("Cast", [f"sum{index}"], [f"OUTPUT{index}"], to=TensorProto.STRING))
    save(root / name / "1", nodes, *ends)
    write(root / name, _pair("TYPE_STRING"), "config.pbtxt")


_IMAGE_CONFIG = """
    platform: "onnxruntime_onnx"
    max_batch_size: 0
    input { name: "data_0" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 4, 4 ]
            reshape { shape: [ 1, 3, 4, 4 ] } }
    output { name: "fc6_1" data_type: TYPE_FP32 dims: [ 5 ] reshape { shape: [ 1, 5, 1, 1 ] }
             label_filename: "labels.txt" }
"""


def _image_classes(root: Path, name: str) -> None:
    """An image to five classes, as Triton's densenet: no batch axis, reshapes, an order of axes, labels."""
    pixels, scores = (1, 3, 4, 4), (1, 5, 1, 1)
    weights = np.random.default_rng(7).standard_normal((48, 5)).astype("f4")
    nodes = [
        helper.make_node("Reshape", ["data_0", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["score"]),
        helper.make_node("Reshape", ["score", "shape"], ["fc6_1"]),
    ]
    shapes = [("flat", np.array([1, 48])), ("shape", np.array(scores)), ("weights", weights)]
    ends = [("data_0", TensorProto.FLOAT, pixels)], [("fc6_1", TensorProto.FLOAT, scores)]
    save(root / name / "1", nodes, *ends, shapes)
    write(root / name, _IMAGE_CONFIG, "config.pbtxt")
    write(root / name, "\n".join(LABELS), "labels.txt")


def _versions(root: Path, name: str) -> None:
    """Version 1 adds 1, version 3 adds 3, and both have names."""
    ends = [("X", TensorProto.FLOAT, ["n", 1])], [("Y", TensorProto.FLOAT, ["n", 1])]
    for version in (1, 3):
        nodes = [helper.make_node("Add", ["X", "step"], ["Y"])]
        save(root / name / f"{version}", nodes, *ends, [("step", np.array([version], "f4"))])
    config = """
        version_policy { all { } }
        parameters { key: "gateway.labels" value { string_value: "stable=1, canary=3" } }
    """
    write(root / name, config, "config.pbtxt")


# ---- other kinds ----------------------------------------------------------------------------------


def _simple_identity(root: Path, name: str) -> None:
    shutil.copytree(OWN_MODELS / "identity_bytes", root / name)


def _repeat(root: Path, name: str) -> None:
    add_model(root, name, REPEAT, REPEAT_CONFIG)


def _ensemble(root: Path, name: str) -> None:
    """Sum and difference of sum and difference: twice of each."""
    steps: tuple[Row, ...] = (
        ("simple", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "sum", "OUTPUT1": "difference"}),
        ("echo", {"X": "difference"}, {"Y": "echoed"}),
        ("simple", {"INPUT0": "sum", "INPUT1": "echoed"}, {"OUTPUT0": "TWICE_A", "OUTPUT1": "TWICE_B"}),
    )
    inputs, outputs = (
        [f"{one} TYPE_INT32 [ 16 ]" for one in names] for names in (("A", "B"), ("TWICE_A", "TWICE_B"))
    )
    add_ensemble(root, name, config_of(steps, inputs, outputs, max_batch_size=8))


def _echo(root: Path, name: str) -> None:
    """What is in no configuration is in the file."""
    identity(root / name / "1", TensorProto.INT32)


# A Python-backend model that asks `simple` and gives its sum.
_CALLING = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            responses = []
            for request in requests:
                inputs = [pb_utils.get_input_tensor_by_name(request, name) for name in ("INPUT0", "INPUT1")]
                call = pb_utils.InferenceRequest(
                    model_name="simple", requested_output_names=["OUTPUT0"], inputs=inputs
                )
                answer = call.exec()
                if answer.has_error():
                    raise pb_utils.TritonModelException(answer.error().message())
                total = pb_utils.get_output_tensor_by_name(answer, "OUTPUT0").as_numpy()
                output = pb_utils.Tensor("SUM", total)
                responses.append(pb_utils.InferenceResponse(output_tensors=[output]))
            return responses
"""
_CALLING_CONFIG = """
    backend: "python"
    max_batch_size: 8
    input [
        { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
        { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
    ]
    output { name: "SUM" data_type: TYPE_INT32 dims: [ 16 ] }
"""


def _calling(root: Path, name: str) -> None:
    add_model(root, name, _CALLING, _CALLING_CONFIG)


def _sequence(root: Path, name: str) -> None:
    """INPUT, and one more at the start of a sequence; READY is read and means nothing here."""
    ends = (
        [(one, TensorProto.INT32, ["n", 1]) for one in ("INPUT", "START", "READY")],
        [("OUTPUT", TensorProto.INT32, ["n", 1])],
    )
    nodes = [
        helper.make_node("Add", ["INPUT", "START"], ["started"]),
        helper.make_node("Mul", ["started", "READY"], ["OUTPUT"]),
    ]
    save(root / name / "1", nodes, *ends)
    config = """
        platform: "onnxruntime_onnx"
        max_batch_size: 8
        sequence_batching {
            max_sequence_idle_microseconds: 5000000
            control_input [
                { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
                { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ] }
            ]
        }
        input { name: "INPUT" data_type: TYPE_INT32 dims: [ 1 ] }
        output { name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] }
        instance_group { kind: KIND_CPU }
    """
    write(root / name, config, "config.pbtxt")


def _broken(root: Path, name: str) -> None:
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.onnx").write_bytes(b"this is no model")


KINDS = (
    Kind("simple", _simple),
    Kind("simple_int8", _simple_int8),
    Kind("simple_string", _simple_string),
    Kind("simple_identity", _simple_identity),
    Kind("image_classes", _image_classes),
    Kind("versions", _versions),
    Kind("echo", _echo),
    Kind("twice_of_each", _ensemble),
    Kind("repeat_int32", _repeat),
    Kind("calling", _calling),
    Kind("simple_sequence", _sequence),
    Kind(BROKEN, _broken),
)
