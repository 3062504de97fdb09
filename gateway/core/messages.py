"""What every protocol decodes to and encodes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from types import MappingProxyType
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from gateway.core.errors import GatewayError
from gateway.core.model import ModelKey
from gateway.core.tensor import Tensor
from gateway.core.value import Value

Parameter = bool | int | float | str
NO_PARAMETERS: Mapping[str, Parameter] = MappingProxyType({})
# A stateful model's queue reads them; checked by whoever decodes a request, absent where they say nothing.
SEQUENCE_PARAMETERS = frozenset({"sequence_id", "sequence_start", "sequence_end"})


class Lease(Protocol):
    """Holds a piece of shared memory that tensors point into; counted, freed at zero."""

    def hold(self) -> None:
        """Must be paired with one `release`."""

    def release(self) -> None:
        """Gives one hold back; the memory may be reused as soon as none is left."""


class RequestedOutput(Value):
    """An output the caller asked for by name, with the protocol's own parameters for it."""

    __slots__ = ("name", "parameters")

    def __init__(self, name: str, parameters: Mapping[str, Parameter] = NO_PARAMETERS) -> None:
        self.name: Final = name
        self.parameters: Final = parameters

    def values(self) -> tuple[object, ...]:
        return self.name, self.parameters


@mypyc_attr(free_list_len=1)
class InferRequest(Value):
    """One inference, whatever protocol it came by.

    `version` 0 is the latest ready one, a text a label. `outputs` empty asks for all. `deadline` is
    on the clock's monotonic scale, seconds; inf where the caller set none. `protocol` is a bounded
    label. `priority` 0 is the model's default, 1 comes first. `timeout_at` is when the `timeout` that the
    caller named is over, on the scale of `deadline`: what that means is for the model's queue policy.
    `chain` are the versions that wait for the answer while they execute, the outermost first.
    """

    __slots__ = (
        "chain",
        "deadline",
        "id",
        "inputs",
        "lease",
        "model",
        "outputs",
        "parameters",
        "priority",
        "protocol",
        "timeout_at",
        "version",
    )

    def __init__(  # ruff: ignore[too-many-arguments] - a parameter a field
        self,
        model: str,
        version: int | str,
        inputs: tuple[Tensor, ...],
        id: str = "",
        outputs: tuple[RequestedOutput, ...] = (),
        parameters: Mapping[str, Parameter] = NO_PARAMETERS,
        deadline: float = inf,
        protocol: str = "rest",
        lease: Lease | None = None,
        priority: int = 0,
        timeout_at: float = inf,
        chain: tuple[ModelKey, ...] = (),
    ) -> None:
        self.model: Final = model
        self.version: Final = version
        self.inputs: Final = inputs
        self.id: Final = id
        self.outputs: Final = outputs
        self.parameters: Final = parameters
        self.deadline: Final = deadline
        self.protocol: Final = protocol
        self.lease: Final = lease
        self.priority: Final = priority
        self.timeout_at: Final = timeout_at
        self.chain: Final = chain

    def under(self, identity: str) -> InferRequest:
        """The same request by another id."""
        return self._with(self.model, self.version, identity, self.parameters)

    def to(self, model: str, version: int | str) -> InferRequest:
        """The same request for another model or version."""
        return self._with(model, version, self.id, self.parameters)

    def with_parameters(self, parameters: Mapping[str, Parameter]) -> InferRequest:
        """The same request with these parameters in place of its own."""
        return self._with(self.model, self.version, self.id, parameters)

    def _with(
        self, model: str, version: int | str, identity: str, parameters: Mapping[str, Parameter]
    ) -> InferRequest:
        return InferRequest(
            model,
            version,
            self.inputs,
            identity,
            self.outputs,
            parameters,
            self.deadline,
            self.protocol,
            self.lease,
            self.priority,
            self.timeout_at,
            self.chain,
        )

    def values(self) -> tuple[object, ...]:
        return (
            self.model,
            self.version,
            self.inputs,
            self.id,
            self.outputs,
            self.parameters,
            self.deadline,
            self.protocol,
            self.lease,
            self.priority,
            self.timeout_at,
            self.chain,
        )


@mypyc_attr(free_list_len=1)
class InferResponse(Value):
    """The answer of one model version to one request; whoever gets it releases `lease` when written."""

    __slots__ = ("id", "lease", "model", "outputs", "parameters", "version")

    def __init__(
        self,
        model: str,
        version: int,
        outputs: tuple[Tensor, ...],
        id: str = "",
        parameters: Mapping[str, Parameter] = NO_PARAMETERS,
        lease: Lease | None = None,
    ) -> None:
        self.model: Final = model
        self.version: Final = version
        self.outputs: Final = outputs
        self.id: Final = id
        self.parameters: Final = parameters
        self.lease: Final = lease

    def with_outputs(self, outputs: tuple[Tensor, ...]) -> InferResponse:
        """The same answer with other tensors; the lease is the same hold."""
        return InferResponse(self.model, self.version, outputs, self.id, self.parameters, self.lease)

    def values(self) -> tuple[object, ...]:
        return self.model, self.version, self.outputs, self.id, self.parameters, self.lease


# How an answer reaches whoever asked: exactly one call, perhaps before the asking call returns.
Done = Callable[[InferResponse | GatewayError], None]


class Ticket(Protocol):
    """A request under way."""

    def cancel(self) -> None:
        """The caller has gone: `done` is not called any more; work not yet started is dropped."""


class StreamSink(Protocol):
    """Whoever asked for any number of answers.

    Told in order, and of exactly one end: a response that is the last, or `on_end`. Nothing comes
    after that, nor after `cancel`.
    """

    @property
    def is_writable(self) -> bool:
        """False while what was told lies unsent; then few more come until `StreamTicket.resume`."""

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        """One answer; its lease is the sink's to release."""

    def on_fault(self, error: GatewayError) -> None:
        """An error in place of one answer; more may come, and an end does."""

    def on_end(self, error: GatewayError | None) -> None:
        """No more comes, because of `error` or because that was all."""


class StreamTicket(Ticket, Protocol):
    """A stream of answers under way; `version` is the one that answers."""

    version: int

    def resume(self) -> None:
        """Must be called when the sink has become writable again."""
