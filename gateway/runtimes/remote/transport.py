"""What the caller needs of a way to an upstream, and the reading that both ways share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array
from gateway.runtimes.remote.description import Described
from gateway.runtimes.remote.tensors import Sent

# An encoded request; what it is, only its transport knows.
Encoded = Any


class Transport(Protocol):
    """One protocol's client. All but `encode` must be called on its event loop; all raise Fault."""

    async def open(self) -> None:
        """Must be called first; connects to nobody yet."""

    async def close(self) -> None:
        """Ends its connections."""

    async def describe(self, timeout_s: float) -> Described:
        """What the upstream says of its model; raises LoadError too."""

    async def check_ready(self, timeout_s: float) -> None:
        """Raises Fault unless server and model say that they are ready."""

    def encode(self, sent: Sent) -> Encoded:
        """A request's bytes, once for all attempts; raises BadInput. Any thread may call it."""

    async def send(self, encoded: Encoded, wanted: Sequence[TensorSpec], timeout_s: float) -> list[Array]:
        """One attempt."""

    def use_token(self, token: str) -> None:
        """What requests bear from now on, "" for nothing."""
