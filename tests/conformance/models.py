"""The repository that the cases ask: one function for each kind of model, which makes its folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from onnx import TensorProto

from tests.fakes.onnx_files import busy, identity, table, three_only

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


KINDS: tuple[Callable[[Path], None], ...] = (onnx, failing, scheduled)
