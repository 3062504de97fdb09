"""What the pipeline promises to every frontend; a protocol needs nothing else of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core.caller import ANYBODY, Caller
from gateway.core.errors import GatewayError
from gateway.core.messages import Done, InferRequest, StreamSink, StreamTicket, Ticket
from gateway.core.model import ModelSpec
from gateway.pipeline.statistics import Counted


class ModelDescription(msgspec.Struct, frozen=True):
    """A model as its metadata tells it: the signature of the version asked for, and all versions served.

    `config` is what its config.pbtxt says, for repository.normalised.
    """

    spec: ModelSpec
    versions: tuple[int, ...]
    config: bytes = b""


Described = Callable[[ModelDescription | GatewayError], None]


class InferenceService(Protocol):
    """The gateway as a frontend sees it. Never blocks; errors come through the callbacks.

    A caller who is left out is ANYBODY, who may do nothing where callers are asked who they are.
    """

    def infer(self, request: InferRequest, done: Done, caller: Caller = ANYBODY) -> Ticket | None:
        """Runs a request; calls `done` exactly once, perhaps before returning (then None is returned).

        The request's `lease` is taken over: released when nothing needs the inputs any more.
        """

    def stream(
        self, request: InferRequest, sink: StreamSink, caller: Caller = ANYBODY
    ) -> StreamTicket | None:
        """Runs a request that may be answered any number of times, by a model of either kind.

        As `infer` otherwise; None is returned where the stream has ended already.
        """

    def refused(self, protocol: str, error: GatewayError, model: str = "", caller: Caller = ANYBODY) -> None:
        """Must be told of a request that was not understood, so that it leaves a record too."""

    def describe(
        self, model: str, version: int | str, described: Described, caller: Caller = ANYBODY
    ) -> None:
        """Tells a model's signature, loading it where only a worker can know; `version` 0 = latest."""

    def statistics(
        self, model: str, version: int | str, counted: Counted, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """Tells what was counted: of the version named, of all served ones (0), or of all models ("", 0)."""

    def is_live(self) -> bool:
        """True while this process can answer at all."""

    def is_ready(self) -> bool:
        """True while new requests are welcome: false before the first snapshot and in a drain."""

    def is_model_ready(self, model: str, version: int | str, caller: Caller = ANYBODY) -> bool:
        """True if a request for it could be answered, loaded or not; raises ModelNotFound."""
