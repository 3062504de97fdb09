"""A gateway started as a user starts it, over models of every datatype."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from onnx import TensorProto

from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity

MODELS = Path("model_repo")
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


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`simple`, `fraud`, two `cold_*` echoes, a `broken` one, and an echo of every datatype."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("simple", "fraud"):
        shutil.copytree(MODELS / name, folder / name)
    for number in range(2):
        identity(folder / f"cold_{number}" / "1")
    for datatype, element in ELEMENTS.items():
        identity(folder / f"echo_{datatype.lower()}" / "1", element)
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "model.onnx").write_bytes(b"this is no model")
    return folder


@pytest.fixture(scope="module")
def gateway_process(repository: Path) -> Generator[Gateway]:
    """A gateway with two fronts; SIGTERM must end it with status 0."""
    with gateway(repository, "--insecure-dev", "--fronts", "2") as running:
        yield running
        assert running.stop() == 0, running.log.read_text()
