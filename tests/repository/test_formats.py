from __future__ import annotations

import pytest

from gateway.repository.formats import FORMATS, matching


@pytest.mark.parametrize(
    ("platform", "backend", "found"),
    [
        ("", "", FORMATS),
        ("onnxruntime_onnx", "", FORMATS),
        ("", "onnxruntime", FORMATS),
        ("onnxruntime_onnx", "onnxruntime", FORMATS),
        ("onnxruntime_onnx", "python", ()),
        ("tensorrt_plan", "", ()),
        ("ONNXRUNTIME_ONNX", "", ()),
    ],
)
def test_matching(platform: str, backend: str, found: tuple[object, ...]) -> None:
    assert matching(platform, backend) == found
