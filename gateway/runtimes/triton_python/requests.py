"""Requests, responses and errors under the names that files for Triton's Python backend use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Protocol

from gateway.runtimes.triton_python.tensors import Tensor

_FURTHER = frozenset({"flags", "timeout", "preferred_memory", "trace", "parameters", "response_sender"})


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


@dataclass(frozen=True, slots=True)
class PreferredMemory:
    """Where a model would have its outputs; here always the CPU's memory."""

    preferred_memory_type: int
    preferred_device_id: int = 0
    TRITONSERVER_MEMORY_CPU: ClassVar[int] = 0
    TRITONSERVER_MEMORY_GPU: ClassVar[int] = 1


class Sender(Protocol):
    """How a decoupled model answers a request; `sender.ResponseSender`."""

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None: ...
    def is_cancelled(self) -> bool: ...


class InferenceRequest:
    """A batch; made by the gateway, or by a model that would call another one, which it cannot yet."""

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Sequence[str] = (),
        model_name: str = "",
        model_version: int = -1,
        **more: Any,
    ) -> None:
        unknown = more.keys() - _FURTHER
        if unknown:
            raise TypeError(f"InferenceRequest has no argument '{min(unknown)}'")
        self._request_id = request_id
        self._correlation_id = correlation_id
        self._inputs = list(inputs)
        self._requested_output_names = set(requested_output_names)
        self._model_name = model_name
        self._model_version = model_version
        self._more = more

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def request_id(self) -> str:
        return self._request_id

    def correlation_id(self) -> int | str:
        return self._correlation_id

    def requested_output_names(self) -> set[str]:
        return self._requested_output_names

    def model_name(self) -> str:
        return self._model_name

    def model_version(self) -> int:
        return self._model_version

    def flags(self) -> int:
        return int(self._more.get("flags", 0))

    def set_flags(self, flags: int) -> None:
        self._more["flags"] = flags

    def timeout(self) -> int:
        return int(self._more.get("timeout", 0))

    def priority(self) -> int:
        return 0

    def parameters(self) -> str:
        """JSON; empty, because requests with different parameters may share a batch."""
        return "{}"

    def preferred_memory(self) -> PreferredMemory:
        given: PreferredMemory | None = self._more.get("preferred_memory")
        return given or PreferredMemory(PreferredMemory.TRITONSERVER_MEMORY_CPU)

    def trace(self) -> Any:
        return self._more.get("trace")

    def is_cancelled(self) -> bool:
        sender: Sender | None = self._more.get("response_sender")
        return sender is not None and sender.is_cancelled()

    def get_response_sender(self) -> Sender:
        sender: Sender | None = self._more.get("response_sender")
        if sender is None:
            raise TritonModelException("get_response_sender is for models whose configuration is decoupled")
        return sender

    def set_release_flags(self, *_: Any) -> NoReturn:
        raise TritonModelException("rescheduling requests (set_release_flags) is not supported")

    def exec(self, *_: Any, **__: Any) -> NoReturn:
        raise TritonModelException("calling other models (InferenceRequest.exec) is not supported yet")

    def async_exec(self, *_: Any, **__: Any) -> NoReturn:
        raise TritonModelException("calling other models (InferenceRequest.async_exec) is not supported yet")


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


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """The request's input of that name, or None."""
    return next((one for one in inference_request.inputs() if one.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """The response's output of that name, or None."""
    return next((one for one in inference_response.output_tensors() if one.name() == name), None)
