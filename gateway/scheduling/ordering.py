"""Answers that leave in the order in which their requests came: `preserve_ordering` of a model.

An answer that is there too early is held until every earlier request has its own, or has ended otherwise:
a deadline, a caller who went, a refusal are told at once and hold nobody up. The order is that of one
model version in one front.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gateway.core.errors import DeadlineExceeded, GatewayError, Overloaded
from gateway.core.messages import InferResponse, Lease
from gateway.core.model import ModelSpec
from gateway.scheduling.contract import Loop
from gateway.scheduling.pending import Closed, Pending
from gateway.scheduling.splitting import split, whole
from gateway.workers.links import Output, Timings

Result = InferResponse | GatewayError


class Ordering:
    """The open requests of one version in their order, each with its result where that is held back."""

    def __init__(self, loop: Loop, max_held: int) -> None:
        self._loop = loop
        self._max_held = max_held
        # Invariant: all are open; `held` of them have a result, and the first has none for long.
        self._line: OrderedDict[Pending, Result | None] = OrderedDict()
        self._is_flush_due = False
        self.held = 0

    def refuse_full(self) -> None:
        """Raises Overloaded while so many answers are held that no request may be added."""
        if self.held >= self._max_held:
            raise Overloaded("Exceeds maximum queue size", retry_after_s=1.0)

    def enter(self, pending: Pending) -> None:
        """Must be called for each request that is let in, in the order of arrival."""
        self._line[pending] = None
        pending.on_closed = self._noticing(pending.on_closed)

    def answer(
        self,
        spec: ModelSpec,
        members: Sequence[Pending],
        outputs: Sequence[Output],
        timings_ns: Timings,
        lease: Lease | None,
    ) -> None:
        """Gives each member of a batch its part of the outputs, in turn; takes over `lease`."""
        is_alone = len(members) == 1
        answers = (
            [whole(spec, members[0], outputs, lease)] if is_alone else split(spec, members, outputs, lease)
        )
        for member, response in zip(members, answers, strict=True):
            member.timings_ns = timings_ns
            self.tell(member, response)
            member.leave_batch()
        if lease is not None and not is_alone:
            lease.release()

    def tell(self, pending: Pending, result: Result) -> None:
        """Gives `pending` its answer or its error, once it is its turn."""
        if not pending.is_open:
            _give(pending, result)
            return
        self._line[pending] = result
        self.held += 1
        self._flush()

    def _noticing(self, on_closed: Closed) -> Closed:
        def closed(pending: Pending, error: GatewayError | None) -> None:
            on_closed(pending, error)
            if pending in self._line:  # not by its turn
                self._leave(pending)

        return closed

    def _leave(self, pending: Pending) -> None:
        result = self._line.pop(pending)
        if result is not None:
            self.held -= 1
            _give(pending, result)
        if self.held and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        while self._line:
            first, result = next(iter(self._line.items()))
            if result is None:
                return
            del self._line[first]
            self.held -= 1
            _give(first, result)

    def sweep(self, now: float) -> None:
        """Fails those over their deadline whose answer is held."""
        if self.held:
            for pending, result in list(self._line.items()):
                if result is not None and pending.deadline <= now:
                    pending.fail(DeadlineExceeded("Request timeout expired"))

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert all(pending.is_open for pending in self._line)
        assert self.held == sum(result is not None for result in self._line.values())
        first = next(iter(self._line.values()), None)
        assert first is None or self._is_flush_due


def _give(pending: Pending, result: Result) -> None:
    """Tells the caller; where nobody waits any more that only gives an answer's lease back."""
    if isinstance(result, InferResponse):
        pending.answer(result)
    else:
        pending.fail(result)
