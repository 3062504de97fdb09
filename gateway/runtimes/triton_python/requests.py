"""Requests, responses and errors under the names that files for Triton's Python backend use."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Protocol

from gateway.runtimes.calls import Question
from gateway.runtimes.triton_python.calling import Responses, ask, ask_later
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonModelException
from gateway.runtimes.triton_python.tensors import Tensor

_FURTHER = frozenset({"flags", "timeout", "preferred_memory", "trace", "parameters", "response_sender"})


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
    """A batch, made by the gateway; or a call of another model, made by one that executes."""

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

    def exec(self, decoupled: bool = False) -> InferenceResponse | Responses:
        """The response of the model that this request names; an iterator of all where `decoupled`."""
        question = self._question(decoupled=decoupled)
        return Responses(question) if decoupled else ask(question)

    def async_exec(self, decoupled: bool = False) -> Awaitable[InferenceResponse] | Responses:
        """The same, under way at once: to be awaited; where `decoupled` also to be read by `async for`."""
        question = self._question(decoupled=decoupled)
        return Responses(question) if decoupled else ask_later(question)

    def _question(self, *, decoupled: bool) -> Question:
        if self._correlation_id or self.flags():
            raise TritonModelException("calls of models with sequences are not supported")
        return Question(
            self._model_name,
            {tensor.name(): tensor.as_numpy() for tensor in self._inputs},
            self._model_version,
            tuple(self._requested_output_names),
            several=decoupled,
            id=self._request_id,
            timeout_us=self.timeout(),
            parameters=self._more.get("parameters") or {},
        )


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """The request's input of that name, or None."""
    return next((one for one in inference_request.inputs() if one.name() == name), None)
