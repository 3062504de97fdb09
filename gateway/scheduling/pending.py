"""A request on its way through a queue: the one mutable value of the data plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.errors import Cancelled, GatewayError
from gateway.core.messages import Done, InferRequest, InferResponse
from gateway.workers.plans import Signature

Compat = tuple[object, ...]
Closed = Callable[["Pending", GatewayError | None], None]


class Plan(NamedTuple):
    """What one request's shape means for one model version; worked out once, then looked up.

    `order` lists, for each of the model's inputs, its place in the request. Requests of equal `compat`
    may share a batch; it holds the `signature`, and the parameters where there are any.
    """

    rows: int
    order: tuple[int, ...]
    signature: Signature
    compat: Compat


class Pending:
    """One request between admission and answer; a frontend's ticket for it.

    Invariant: `is_open` until exactly one of answer, failure or cancel; whatever comes later is
    dropped. The inputs' lease is given back once the request is closed and in no batch.
    """

    __slots__ = (
        "arrived",
        "batch_rows",
        "compute_s",
        "deadline",
        "done",
        "in_batch",
        "is_cold",
        "is_open",
        "on_closed",
        "plan",
        "request",
        "sent",
        "strikes",
        "version",
    )

    plan: Plan

    def __init__(
        self, request: InferRequest, done: Done, on_closed: Closed, arrived: float, deadline: float
    ) -> None:
        self.request = request
        self.done = done
        self.on_closed = on_closed
        self.arrived = arrived
        self.deadline = deadline
        self.version = 0  # the one that answers, or of an unknown model the one that was named
        self.is_open = True
        self.in_batch = False
        self.is_cold = False
        self.strikes = 0  # workers that died while running this request
        self.sent = 0.0
        self.compute_s = 0.0
        self.batch_rows = 0

    def answer(self, response: InferResponse) -> None:
        """Gives the caller its answer, or drops it (and its lease) where nobody waits any more."""
        if not self.is_open:
            if response.lease is not None:
                response.lease.release()
            return
        self._close(None)
        self.done(response)

    def fail(self, error: GatewayError) -> None:
        """Gives the caller an error; does nothing where nobody waits any more."""
        if self.is_open:
            self._close(error)
            self.done(error)

    def cancel(self) -> None:
        """The caller has gone: nothing is told, the place in the queue is given up."""
        if self.is_open:
            self._close(Cancelled("the caller has gone"))

    def leave_batch(self) -> None:
        """The worker has no part of this request any more (answered, failed, or dead)."""
        self.in_batch = False
        if not self.is_open:
            self._give_back()

    def _close(self, error: GatewayError | None) -> None:
        self.is_open = False
        self.on_closed(self, error)
        if not self.in_batch:
            self._give_back()

    def _give_back(self) -> None:
        lease = self.request.lease
        if lease is not None:
            lease.release()
