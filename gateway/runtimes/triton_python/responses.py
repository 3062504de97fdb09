"""Responses and errors under the names that files for Triton's Python backend use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.runtimes.triton_python.tensors import Tensor


class TritonModelException(Exception):
    """What the backend itself refuses; models raise it too."""


class TritonError:
    """Why a response has no tensors; `INVALID_ARG` says that the caller is at fault."""

    UNKNOWN = 0
    INTERNAL = 1
    NOT_FOUND = 2
    INVALID_ARG = 3
    UNAVAILABLE = 4
    UNSUPPORTED = 5
    ALREADY_EXISTS = 6
    CANCELLED = 7

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = str(message)
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code

    def __str__(self) -> str:
        return self._message


class InferenceResponse:
    """The answer to one request: tensors, or an error."""

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | None = None,
        parameters: str | Mapping[str, Any] | None = None,
    ) -> None:
        if parameters and parameters != "{}":
            raise TritonModelException("parameters of responses are not supported yet")
        if error is not None and not isinstance(error, TritonError):
            raise TypeError(f"error must be a TritonError, not {type(error).__name__}")
        self._output_tensors = list(output_tensors)
        self._error = error

    def output_tensors(self) -> list[Tensor]:
        return self._output_tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """The response's output of that name, or None."""
    return next((one for one in inference_response.output_tensors() if one.name() == name), None)
