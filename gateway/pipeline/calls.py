"""Calls that models make while they execute: each becomes a request of this front's.

DESIGN: a call goes through `Pipeline.infer` or `stream` like any other request, so it wakes its model,
shares batches and runs again when its worker dies; what makes it a call is whom it is made for. It has
the time that the batch it comes from has left, and its priority, and it is given up when nobody waits
for that batch any more. A version that waits for the answer cannot give it: with one instance it would
wait for itself. So each request carries the chain of versions that wait for it, and a call of one of
them is refused at once, whether another instance is free or not: what works must not hang on load.
Two models that call each other in different requests may still meet; then the deadline ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from gateway.core.clock import Clock
from gateway.core.errors import Cancelled, GatewayError, InvalidInput
from gateway.core.messages import Done, InferRequest, InferResponse, Lease, RequestedOutput, StreamSink
from gateway.core.model import MAX_VERSION, ModelKey, check_name, parse_version
from gateway.core.tensor import Tensor
from gateway.pipeline.catalogue import VersionSlot
from gateway.pipeline.chain import chain_of, refuse_circle
from gateway.scheduling.pending import Pending, PendingStream
from gateway.workers.call_frames import Asked
from gateway.workers.frames import STREAM_WINDOW_BYTES

MAX_PARAMETERS = 64
# A hundred years, as for callers from outside.
_MAX_TIMEOUT_US = 100 * 366 * 86_400 * 1_000_000

_NOBODY = Cancelled("nobody waits any more for the request whose execution made this call")


class Infers(Protocol):
    """Where the requests go: the pipeline."""

    def infer(self, request: InferRequest, done: Done) -> Pending | None:
        """See InferenceService."""

    def stream(self, request: InferRequest, sink: StreamSink) -> PendingStream | None:
        """See InferenceService."""


class Route(Protocol):
    """Which version would answer."""

    def __call__(self, key: tuple[str, int | str], /) -> VersionSlot | None: ...


class Replies(Protocol):
    """Where the answers go: call_link.CallLink."""

    def answer(self, number: int, outputs: Sequence[Tensor], *, is_last: bool) -> int:
        """Sends an answer; raises GatewayError."""

    def refuse(self, number: int, error: GatewayError) -> None:
        """Says why there is none."""

    def end(self, number: int) -> None:
        """Says that no more comes."""


class Calls:
    """Implements call_link.CallListener for one worker; `members` tells for whom it runs a batch.

    Invariant: every call is in `_running` from its coming to its end, and a batch in `_batches` from its
    first call until nobody waits for it any more.
    """

    def __init__(
        self,
        members: Callable[[int], Sequence[Pending]],
        replies: Replies,
        service: Infers,
        route: Route,
        clock: Clock,
    ) -> None:
        self._members_of = members
        self._replies = replies
        self._service = service
        self._route = route
        self._clock = clock
        self._running: dict[int, _Running] = {}
        self._batches: dict[int, _Batch] = {}

    def on_call(self, number: int, asked: Asked, inputs: tuple[Tensor, ...], lease: Lease | None) -> None:
        """See CallListener."""
        try:
            members = self._members(asked.batch)
            request = self._request(asked, inputs, lease, members)
        except GatewayError as error:
            if lease is not None:
                lease.release()
            self._replies.refuse(number, error)
            return
        running = _Running(number, self._replies, self._finished)
        self._running[number] = running
        batch = self._batches.get(asked.batch)
        if batch is None:
            batch = self._batches[asked.batch] = _Batch(asked.batch, members, self._batch_over)
        batch.calls[number] = running
        running.batch = batch
        if asked.several:
            running.keep(self._service.stream(request, running))
        else:
            running.keep(self._service.infer(request, running.done))

    def on_taken(self, number: int, size: int) -> None:
        """See CallListener."""
        running = self._running.get(number)
        if running is not None:
            running.taken(size)

    def on_cancel(self, number: int) -> None:
        """See CallListener."""
        running = self._running.get(number)
        if running is not None:
            running.cancel()

    def on_closed(self) -> None:
        """See CallListener."""
        for running in tuple(self._running.values()):
            running.cancel()

    # ---- the request -----------------------------------------------------------------------------

    def _members(self, batch: int) -> list[Pending]:
        """Whom the batch is run for; raises Cancelled where that is nobody."""
        waiting = [member for member in self._members_of(batch) if member.is_open]
        if not waiting:
            raise _NOBODY
        return waiting

    def _request(
        self, asked: Asked, inputs: tuple[Tensor, ...], lease: Lease | None, members: Sequence[Pending]
    ) -> InferRequest:
        version = _version(asked.version)
        timeout_us = asked.timeout_us
        if not 0 <= timeout_us <= _MAX_TIMEOUT_US or len(asked.parameters) > MAX_PARAMETERS:
            raise InvalidInput(f"a call with timeout {timeout_us}, or over {MAX_PARAMETERS} parameters")
        return InferRequest(
            check_name(asked.model),
            version,
            inputs,
            asked.id,
            tuple([RequestedOutput(name) for name in asked.outputs]),
            asked.parameters,
            max(_time_left(member) for member in members),
            "call",
            lease,
            min((priority for member in members if (priority := member.request.priority)), default=0),
            self._clock() + timeout_us * 1e-6 if timeout_us else inf,
            self._chain(asked.model, version, members),
        )

    def _chain(self, model: str, version: int | str, members: Sequence[Pending]) -> tuple[ModelKey, ...]:
        """Who waits for the answer; raises Unsupported where it would have to come from one of them."""
        chain = chain_of(members)
        slot = self._route((model, version))
        if slot is not None:
            refuse_circle(slot.key, chain)
        return chain

    # ---- the end ---------------------------------------------------------------------------------

    def _finished(self, running: _Running) -> None:
        self._running.pop(running.number, None)
        if running.batch is not None:
            running.batch.calls.pop(running.number, None)

    def _batch_over(self, batch: _Batch) -> None:
        del self._batches[batch.number]
        for running in tuple(batch.calls.values()):
            running.give_up(_NOBODY)


def _time_left(member: Pending) -> float:
    """Until when whoever waits for `member` does: a stream's deadline is that of its next answer alone."""
    return member.limit if isinstance(member, PendingStream) else member.deadline


def _version(version: int | str) -> int | str:
    if isinstance(version, str):
        return parse_version(version)
    if not -1 <= version <= MAX_VERSION:
        raise InvalidInput(f"a model version is -1 or 0 for the latest, or an integer > 0, not {version}")
    return max(version, 0)


class _Batch:
    """A batch whose execution has calls under way; tells when nobody waits for it any more."""

    def __init__(self, number: int, members: Sequence[Pending], on_over: Callable[[_Batch], None]) -> None:
        self.number = number
        self.calls: dict[int, _Running] = {}
        self._on_over = on_over
        self._waiting = len(members)
        for member in members:
            self._follow(member)

    def _follow(self, member: Pending) -> None:
        closed = member.on_closed

        def on_closed(pending: Pending, error: GatewayError | None) -> None:
            closed(pending, error)
            self._waiting -= 1
            if not self._waiting:
                self._on_over(self)

        member.on_closed = on_closed


class _Running:
    """One call under way. Implements StreamSink; `done` is how a single answer comes."""

    def __init__(self, number: int, replies: Replies, on_finished: Callable[[_Running], None]) -> None:
        self.number = number
        self.batch: _Batch | None = None
        self._replies = replies
        self._on_finished = on_finished
        self._ticket: Pending | None = None
        self._unread = 0
        self._is_over = False

    def keep(self, ticket: Pending | None) -> None:
        """Remembers what would cancel the request."""
        if not self._is_over:
            self._ticket = ticket

    def done(self, result: InferResponse | GatewayError) -> None:
        """The one answer."""
        if isinstance(result, GatewayError):
            self.on_end(result)
        else:
            self.on_response(result, is_last=True)

    @property
    def is_writable(self) -> bool:
        """See StreamSink."""
        return self._unread < STREAM_WINDOW_BYTES

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        """See StreamSink."""
        try:
            if not self._is_over:
                self._unread += self._replies.answer(self.number, response.outputs, is_last=is_last)
        except GatewayError as error:
            self.give_up(error)
            return
        finally:
            if response.lease is not None:
                response.lease.release()
        if is_last:
            self._finish()

    def on_fault(self, error: GatewayError) -> None:
        """See StreamSink; to a model that calls, an error is the end of the call."""
        self.give_up(error)

    def on_end(self, error: GatewayError | None) -> None:
        """See StreamSink."""
        if self._is_over:
            return
        if error is None:
            self._replies.end(self.number)
        else:
            self._replies.refuse(self.number, error)
        self._finish()

    def taken(self, size: int) -> None:
        """The model has taken so much of what was told."""
        self._unread = max(self._unread - size, 0)
        if self.is_writable and isinstance(self._ticket, PendingStream):
            self._ticket.resume()

    def give_up(self, error: GatewayError) -> None:
        """Tells the model that there is no answer, whatever its request would have come to."""
        if not self._is_over:
            self._replies.refuse(self.number, error)
            self.cancel()

    def cancel(self) -> None:
        """Nobody waits for the answer."""
        ticket = self._ticket
        self._finish()
        if ticket is not None:
            ticket.cancel()

    def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._ticket = None
            self._on_finished(self)
