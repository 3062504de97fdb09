from __future__ import annotations

import pytest

from gateway.repository.formats import FORMATS, matching

ONNX, PYTHON = FORMATS


def test_only_python_carries_code() -> None:
    assert [known.backend for known in FORMATS if known.carries_code] == ["python"]


@pytest.mark.parametrize(
    ("platform", "backend", "found"),
    [
        ("", "", FORMATS),
        ("onnxruntime_onnx", "", (ONNX,)),
        ("", "onnxruntime", (ONNX,)),
        ("onnxruntime_onnx", "onnxruntime", (ONNX,)),
        ("", "python", (PYTHON,)),
        ("python", "python", (PYTHON,)),
        ("onnxruntime_onnx", "python", ()),
        ("tensorrt_plan", "", ()),
        ("ONNXRUNTIME_ONNX", "", ()),
    ],
)
def test_matching(platform: str, backend: str, found: tuple[object, ...]) -> None:
    assert matching(platform, backend) == found
