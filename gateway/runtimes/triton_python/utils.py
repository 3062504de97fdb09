"""What a file for Triton's Python backend imports as `triton_python_backend_utils`."""

from __future__ import annotations

import enum
import sys
from typing import Any, ClassVar

from gateway.runtimes.calls import Desk
from gateway.runtimes.triton_python.calling import ask_at
from gateway.runtimes.triton_python.model_config import (
    ModelConfig,
    get_input_config_by_name,
    get_output_config_by_name,
    using_decoupled_model_transaction_policy,
)
from gateway.runtimes.triton_python.requests import (
    InferenceRequest,
    PreferredMemory,
    get_input_tensor_by_name,
)
from gateway.runtimes.triton_python.responses import (
    InferenceResponse,
    TritonError,
    TritonModelException,
    get_output_tensor_by_name,
)
from gateway.runtimes.triton_python.sender import RESPONSE_COMPLETE_FINAL
from gateway.runtimes.triton_python.tensors import (
    TRITON_STRING_TO_NUMPY,
    Tensor,
    deserialize_bytes_tensor,
    numpy_to_triton_type,
    serialize_byte_tensor,
    triton_string_to_numpy,
    triton_to_numpy_type,
)

__all__ = [
    "TRITONSERVER_MEMORY_CPU",
    "TRITONSERVER_MEMORY_GPU",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_END",
    "TRITONSERVER_REQUEST_FLAG_SEQUENCE_START",
    "TRITONSERVER_RESPONSE_COMPLETE_FINAL",
    "TRITON_STRING_TO_NUMPY",
    "InferenceRequest",
    "InferenceResponse",
    "Logger",
    "ModelConfig",
    "PreferredMemory",
    "Tensor",
    "TritonError",
    "TritonModelException",
    "deserialize_bytes_tensor",
    "get_input_config_by_name",
    "get_input_tensor_by_name",
    "get_model_dir",
    "get_output_config_by_name",
    "get_output_tensor_by_name",
    "numpy_to_triton_type",
    "serialize_byte_tensor",
    "triton_string_to_numpy",
    "triton_to_numpy_type",
    "using_decoupled_model_transaction_policy",
]

MODULE = "triton_python_backend_utils"
TRITONSERVER_MEMORY_CPU = PreferredMemory.TRITONSERVER_MEMORY_CPU
TRITONSERVER_MEMORY_GPU = PreferredMemory.TRITONSERVER_MEMORY_GPU
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_RESPONSE_COMPLETE_FINAL = RESPONSE_COMPLETE_FINAL

_UNSUPPORTED = {
    "TRITONSERVER_REQUEST_RELEASE_ALL": "rescheduling requests",
    "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE": "rescheduling requests",
    "Metric": "metrics of a model's own",
    "MetricFamily": "metrics of a model's own",
    "load_model": "loading models from a model",
    "unload_model": "unloading models from a model",
    "is_model_ready": "asking for the state of other models",
}


class Level(enum.Enum):
    """How much a line matters; verbose ones are left out, as Triton does unless told."""

    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"
    VERBOSE = "VERBOSE"


class Logger:
    """One line each on the worker's standard error."""

    LogLevel = Level
    ERROR, WARNING, INFO, VERBOSE = Level

    @staticmethod
    def log(message: str, level: Level = Level.INFO) -> None:
        if level is Level.VERBOSE:
            return
        line = "".join(one if one.isprintable() else " " for one in str(message))
        sys.stderr.write(f"python model {_Served.model}: {level.value}: {line}\n")
        sys.stderr.flush()

    @staticmethod
    def log_info(message: str) -> None:
        Logger.log(message, Level.INFO)

    @staticmethod
    def log_warn(message: str) -> None:
        Logger.log(message, Level.WARNING)

    @staticmethod
    def log_error(message: str) -> None:
        Logger.log(message, Level.ERROR)

    @staticmethod
    def log_verbose(message: str) -> None:
        Logger.log(message, Level.VERBOSE)


class _Served:
    """The one model of this process, which functions without arguments speak of; `offer` tells."""

    model: ClassVar[str] = ""
    folder: ClassVar[str] = ""


def get_model_dir() -> str:
    """The folder of the version that is served."""
    return _Served.folder


def __getattr__(name: str) -> Any:
    what = _UNSUPPORTED.get(name)
    if what is None:
        raise AttributeError(f"module '{MODULE}' has no attribute '{name}'")
    raise AttributeError(f"{MODULE}.{name}: {what} is not supported")


def offer(model: str, folder: str, desk: Desk) -> None:
    """Makes this module importable by Triton's name for it, in a process that serves only `model`."""
    ask_at(desk)
    _Served.model, _Served.folder = model, folder
    sys.modules[MODULE] = sys.modules[__name__]
