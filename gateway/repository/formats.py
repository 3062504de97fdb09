"""Model files the gateway can run, and the names Triton gives their engines."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One kind of model file; `file_name` is what it is called where config.pbtxt does not say.

    `carries_code`: loading it runs what it says with the worker's rights. A repository on the
    operator's own disk is trusted with that; whatever else files may come from must ask.
    """

    platform: str
    backend: str
    file_name: str
    carries_code: bool = False


# In the order they are looked for in a folder that has several: code comes last.
FORMATS: tuple[Format, ...] = (
    Format("onnxruntime_onnx", "onnxruntime", "model.onnx"),
    Format("tensorrt_plan", "tensorrt", "model.plan", carries_code=True),
    Format("pytorch_libtorch", "pytorch", "model.pt", carries_code=True),
    Format("pytorch_libtorch", "pytorch", "model.pt2", carries_code=True),
    Format("python", "python", "model.py", carries_code=True),
)
# A model that is served elsewhere. It has no file, so a configuration must name it.
REMOTE = Format("remote", "remote", "")


def matching(platform: str, backend: str) -> tuple[Format, ...]:
    """The formats that agree with what config.pbtxt says; an empty string agrees with every file."""
    known = (*FORMATS, REMOTE) if platform or backend else FORMATS
    return tuple(one for one in known if platform in {"", one.platform} and backend in {"", one.backend})
