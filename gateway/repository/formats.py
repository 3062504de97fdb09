"""Model files the gateway can run, and the names Triton gives their engines."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One kind of model file; `file_name` is what it is called where config.pbtxt does not say."""

    platform: str
    backend: str
    file_name: str


FORMATS: tuple[Format, ...] = (Format("onnxruntime_onnx", "onnxruntime", "model.onnx"),)


def matching(platform: str, backend: str) -> tuple[Format, ...]:
    """The formats that agree with what config.pbtxt says; an empty string agrees with everything."""
    return tuple(
        known for known in FORMATS if platform in {"", known.platform} and backend in {"", known.backend}
    )
