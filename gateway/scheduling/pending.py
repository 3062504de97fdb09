"""A request on its way through a queue: the one mutable value of the data plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.caller import ANYBODY
from gateway.core.clock import Clock
from gateway.core.errors import Cancelled, GatewayError
from gateway.core.messages import Done, InferRequest, InferResponse, StreamSink
from gateway.telemetry.executions import CANCEL, EMPTY, FAIL, SUCCESS, Executions
from gateway.workers.frames import STREAM_WINDOW_BYTES
from gateway.workers.links import Link, Timings
from gateway.workers.plans import Signature

# Grants are saved up to this: a frame for every part would cost as much as the parts.
_GRANT_BYTES = STREAM_WINDOW_BYTES // 4

NOT_RUN: Timings = (0, 0, 0)

Compat = tuple[object, ...]
Closed = Callable[["Pending", GatewayError | None], None]


class Plan(NamedTuple):
    """What one request's shape means for one model version; worked out once, then looked up.

    `order` lists, for each of the model's inputs that is there, its place in the request. Requests of
    equal `compat` may share a batch; it holds the `signature`, and the parameters where there are any.
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
        "caller",
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
        "timings_ns",
        "version",
    )

    plan: Plan

    def __init__(
        self, request: InferRequest, done: Done, on_closed: Closed, arrived: float, deadline: float
    ) -> None:
        self.request = request
        self.caller = ANYBODY
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
        self.timings_ns = NOT_RUN
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


class PendingStream(Pending):
    """A request that may be answered any number of times; a frontend's StreamTicket for it.

    The worker may send what it has been granted and no more: `_owed` is what of its parts the sink has
    been told of and was not granted anew, because the sink was not writable. A request that brings no
    deadline has `patience_s` for each answer, not for all of them.
    """

    __slots__ = (
        "_batch_id",
        "_clock",
        "_executions",
        "_link",
        "_owed",
        "_told",
        "limit",
        "parts",
        "patience_s",
        "sink",
    )

    def __init__(
        self, request: InferRequest, sink: StreamSink, on_closed: Closed, arrived: float, patience_s: float
    ) -> None:
        super().__init__(request, self._tell, on_closed, arrived, min(request.deadline, arrived + patience_s))
        self.sink = sink
        self.patience_s = patience_s
        self.limit = request.deadline  # of all answers together
        self.parts = 0
        self._link: Link | None = None
        self._batch_id = 0
        self._owed = 0
        self._executions: Executions | None = None
        self._clock: Clock | None = None
        self._told = 0.0

    def run_as(self, link: Link, batch_id: int, executions: Executions, clock: Clock) -> None:
        """A decoupled model runs it from now on, as a batch of its own."""
        self._executions = executions
        self._clock = clock
        self._told = clock()
        self._link = link
        self._batch_id = batch_id
        self._owed = 0

    def part(self, result: InferResponse | GatewayError, cost: int, now: float) -> None:
        """Gives the caller an answer that is not the last, or an error in place of one."""
        if not self.is_open:
            if isinstance(result, InferResponse) and result.lease is not None:
                result.lease.release()
            return
        self._count(FAIL if isinstance(result, GatewayError) else SUCCESS, now)
        self.parts += 1
        self.deadline = min(self.limit, now + self.patience_s)
        self._owed += cost
        if isinstance(result, GatewayError):
            self.sink.on_fault(result)
        else:
            self.done(result)
        if self._owed >= _GRANT_BYTES and self.sink.is_writable:
            self._grant()

    def answer(self, response: InferResponse) -> None:
        """As for any request; it is the last answer of a stream, or the only one."""
        if self.is_open and self._clock is not None:
            self._count(SUCCESS, self._clock())
            self.parts += 1
        super().answer(response)

    def end(self) -> None:
        """The model has given all its answers."""
        if self.is_open:
            self._close(None)
            self.sink.on_end(None)

    def resume(self) -> None:
        """See StreamTicket."""
        if self._owed:
            self._grant()

    def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        if self.is_open and self.in_batch and self._link is not None:
            self._link.grant(self._batch_id, owed)

    def _tell(self, result: InferResponse | GatewayError) -> None:
        if not isinstance(result, GatewayError):
            self.sink.on_response(result, is_last=not self.is_open)
            return
        if self.is_open:  # an answer that came could not be turned into what was asked for
            self._close(result)
        self.sink.on_end(result)

    def _close(self, error: GatewayError | None) -> None:
        if error is not None and self.in_batch and self._link is not None:
            self._link.stop(self._batch_id)
        if self._clock is not None and (error is not None or not self.parts):
            how = EMPTY if error is None else CANCEL if isinstance(error, Cancelled) else FAIL
            self._count(how, self._clock())
        super()._close(error)

    def _count(self, how: int, now: float) -> None:
        """How its next answer went, and the time since the one before."""
        if self._executions is not None:
            self._executions.response(self.parts, how, round((now - self._told) * 1e9))
        self._told = now


def as_stream(pending: Pending) -> PendingStream:
    """`pending`, which a decoupled model runs: its queue admits nothing else."""
    assert isinstance(pending, PendingStream)
    return pending
