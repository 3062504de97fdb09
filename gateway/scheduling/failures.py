"""What becomes of a batch's members when they cannot be answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.core.errors import DeadlineExceeded, GatewayError, InvalidInput, ModelFailed, Overloaded
from gateway.scheduling.pending import Pending
from gateway.workers.frames import Failure


def error_of(failure: Failure, text: str) -> GatewayError:
    """What the caller of a request is told whose run failed."""
    match failure:
        case Failure.BAD_INPUT:
            return InvalidInput(text)
        case Failure.NO_MEMORY:
            return Overloaded(text, retry_after_s=1.0)
        case _:
            return ModelFailed(text)


def fail_all(members: Sequence[Pending], error: GatewayError) -> None:
    """Fails every member with one cause; none of them is in a batch any more."""
    for member in members:
        member.in_batch = False
        member.fail(error)


def expire(members: Iterable[Pending], now: float) -> None:
    """Fails the members that are over their deadline."""
    for member in members:
        if member.is_open and member.deadline <= now:
            member.fail(DeadlineExceeded("Request timeout expired"))
