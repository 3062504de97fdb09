"""The repository that the cases ask: one function for each kind of model, which makes its folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from onnx import TensorProto

from tests.fakes.ensembles import Row, add_ensemble, config_of
from tests.fakes.onnx_files import busy, identity, table, three_only
from tests.fakes.sequences import DIRECT, add_accumulator

ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    "BF16": TensorProto.BFLOAT16,
}


def onnx(root: Path) -> None:
    """An echo of every datatype; `simple`: two inputs to their sum and difference."""
    for datatype, element in ELEMENTS.items():
        identity(root / f"echo_{datatype.lower()}" / "1", element)
    shutil.copytree(Path("model_repo") / "simple", root / "simple")


def failing(root: Path) -> None:
    """Models that do not answer, each for a reason of its own."""
    table(root / "table" / "1")
    three_only(root / "three_only" / "1")
    busy(root / "busy" / "1")
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "model.onnx").write_bytes(b"this is no model")


def scheduled(root: Path) -> None:
    """Echoes with a queue policy: `patient` does not let a request ask for less time, `impatient` does."""
    for name, is_allowed in (("patient", "false"), ("impatient", "true")):
        identity(root / name / "1")
        policy = f"default_timeout_microseconds: 60000000 allow_timeout_override: {is_allowed}"
        text = f"dynamic_batching {{ default_queue_policy {{ {policy} }} }}"
        (root / name / "config.pbtxt").write_text(text)


def stateful(root: Path) -> None:
    """Running sums; the gateways of `conftest` have two fronts, and so do not serve it."""
    add_accumulator(root, "sums", DIRECT)


# By name: the steps, the inputs, the outputs and the greatest batch.
ENSEMBLES: dict[str, tuple[tuple[Row, ...], tuple[str, ...], tuple[str, ...], int]] = {
    # Sum and difference of sum and difference: twice of each, in three models that meet in one.
    "twice_of_each": (
        (
            ("simple", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "sum", "OUTPUT1": "difference"}),
            ("echo_int32", {"X": "difference"}, {"Y": "echo"}),
            ("simple/1", {"INPUT0": "sum", "INPUT1": "echo"}, {"OUTPUT0": "TWICE_A", "OUTPUT1": "TWICE_B"}),
        ),
        ("A TYPE_INT32 [ 16 ]", "B TYPE_INT32 [ 16 ]"),
        ("TWICE_A TYPE_INT32 [ 16 ]", "TWICE_B TYPE_INT32 [ 16 ]"),
        8,
    ),
    "echoes": (
        (
            ("echo_fp32", {"X": "X"}, {"Y": "one"}),
            ("echo_fp32", {"X": "one"}, {"Y": "two"}),
            ("echo_fp32", {"X": "two"}, {"Y": "Y"}),
        ),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP32 [ -1 ]",),
        8,
    ),
    "echoes_of_texts": (
        (("echo_bytes", {"X": "X"}, {"Y": "one"}), ("echo_bytes", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_STRING [ -1 ]",),
        ("Y TYPE_STRING [ -1 ]",),
        8,
    ),
    "nested": (
        (("echoes", {"X": "X"}, {"Y": "one"}), ("echo_fp32", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP32 [ -1 ]",),
        8,
    ),
    "raising": (
        (("echo_fp32", {"X": "X"}, {"Y": "one"}), ("three_only", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1, -1 ]",),
        ("Y TYPE_FP32 [ 1, 3 ]",),
        0,
    ),
    "looking_up": (
        (("echo_int64", {"X": "X"}, {"Y": "one"}), ("table", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_INT64 [ 1 ]",),
        ("Y TYPE_FP32 [ 1 ]",),
        8,
    ),
    "slow": ((("busy", {"X": "X"}, {"Y": "Y"}),), ("X TYPE_FP32 [ 1, 1 ]",), ("Y TYPE_FP32 [ 1, 1 ]",), 0),
    "of_a_broken_one": (
        (("echo_fp32", {"X": "X"}, {"Y": "one"}), ("broken", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP32 [ -1 ]",),
        8,
    ),
    "of_none": ((("absent", {"X": "X"}, {"Y": "Y"}),), ("X TYPE_FP32 [ 1 ]",), ("Y TYPE_FP32 [ 1 ]",), 0),
    # What echo_fp64 looks like is in its file only: so this is found out when it is loaded.
    "unfit": (
        (("echo_fp32", {"X": "X"}, {"Y": "one"}), ("echo_fp64", {"X": "one"}, {"Y": "Y"})),
        ("X TYPE_FP32 [ -1 ]",),
        ("Y TYPE_FP64 [ -1 ]",),
        8,
    ),
}


def ensembles(root: Path) -> None:
    """Of the models of `onnx` and `failing`; `of_none` names one that is not there."""
    for name, (rows, inputs, outputs, most) in ENSEMBLES.items():
        add_ensemble(root, name, config_of(rows, inputs, outputs, max_batch_size=most))


KINDS: tuple[Callable[[Path], None], ...] = (onnx, failing, scheduled, stateful, ensembles)
