from __future__ import annotations

import pytest

from gateway.repository.formats import FORMATS, REMOTE, matching

ONNX, TENSORRT, TORCH_SCRIPT, TORCH_EXPORTED, PYTHON = FORMATS


def test_only_onnx_carries_no_code() -> None:
    assert [known for known in FORMATS if not known.carries_code] == [ONNX]


@pytest.mark.parametrize(
    ("platform", "backend", "found"),
    [
        ("", "", FORMATS),
        ("onnxruntime_onnx", "", (ONNX,)),
        ("", "onnxruntime", (ONNX,)),
        ("onnxruntime_onnx", "onnxruntime", (ONNX,)),
        ("pytorch_libtorch", "", (TORCH_SCRIPT, TORCH_EXPORTED)),
        ("", "python", (PYTHON,)),
        ("python", "python", (PYTHON,)),
        ("onnxruntime_onnx", "python", ()),
        ("tensorrt_plan", "", (TENSORRT,)),
        ("", "tensorrt", (TENSORRT,)),
        ("tensorflow_savedmodel", "", ()),
        ("", "remote", (REMOTE,)),
        ("remote", "", (REMOTE,)),
        ("remote", "python", ()),
        ("ONNXRUNTIME_ONNX", "", ()),
    ],
)
def test_matching(platform: str, backend: str, found: tuple[object, ...]) -> None:
    assert matching(platform, backend) == found
