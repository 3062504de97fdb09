"""What every protocol decodes to and encodes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from types import MappingProxyType
from typing import Protocol

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.model import ModelKey
from gateway.core.tensor import Tensor

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


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output the caller asked for by name, with the protocol's own parameters for it."""

    name: str
    parameters: Mapping[str, Parameter] = NO_PARAMETERS


class InferRequest(msgspec.Struct, frozen=True):
    """One inference, whatever protocol it came by.

    `version` 0 is the latest ready one, a text a label. `outputs` empty asks for all. `deadline` is
    on the clock's monotonic scale, seconds; inf where the caller set none. `protocol` is a bounded
    label. `priority` 0 is the model's default, 1 comes first. `timeout_at` is when the `timeout` that the
    caller named is over, on the scale of `deadline`: what that means is for the model's queue policy.
    `chain` are the versions that wait for the answer while they execute, the outermost first.
    """

    model: str
    version: int | str
    inputs: tuple[Tensor, ...]
    id: str = ""
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: Mapping[str, Parameter] = NO_PARAMETERS
    deadline: float = inf
    protocol: str = "rest"
    lease: Lease | None = None
    priority: int = 0
    timeout_at: float = inf
    chain: tuple[ModelKey, ...] = ()


class InferResponse(msgspec.Struct, frozen=True):
    """The answer of one model version to one request; whoever gets it releases `lease` when written."""

    model: str
    version: int
    outputs: tuple[Tensor, ...]
    id: str = ""
    parameters: Mapping[str, Parameter] = NO_PARAMETERS
    lease: Lease | None = None


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
