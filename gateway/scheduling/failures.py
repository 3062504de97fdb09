"""What becomes of a batch's members when they cannot be answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.core.errors import DeadlineExceeded, GatewayError, InvalidInput, ModelFailed, Overloaded
from gateway.scheduling.batching import open_only
from gateway.scheduling.pending import Pending, PendingStream
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.refusals import died_while_answering
from gateway.workers.frames import Failure

# These are no member's fault, or nothing may be run twice to find out whose: all of a batch are told.
FOR_ALL = frozenset({Failure.UNAVAILABLE, Failure.TIMED_OUT, Failure.UPSTREAM_FAILED})


def error_of(failure: Failure, text: str, retry_after_s: float = 0.0) -> GatewayError:
    """What the caller of a request is told whose run failed."""
    match failure:
        case Failure.UNAVAILABLE:
            return Overloaded(text, retry_after_s=retry_after_s or 1.0)
        case Failure.TIMED_OUT:
            return DeadlineExceeded(text)
        case Failure.BAD_INPUT:
            return InvalidInput(text)
        case Failure.NO_MEMORY:
            return Overloaded(text, retry_after_s=1.0)
        case _:
            return ModelFailed(text)


def strike(member: Pending, now: float, poison: PoisonList | None) -> bool:
    """True where a member of a batch whose worker died is to run again; fails it where it is not."""
    if isinstance(member, PendingStream) and member.parts:
        member.fail(died_while_answering())
        return False
    member.strikes += 1
    if member.strikes < 2:
        return True
    if poison is not None:
        poison.add(member.request, now)
    member.fail(ModelFailed("the model's process died twice while running this request"))
    return False


def left_behind(
    batches: Sequence[list[Pending]], running: int, now: float, poison: PoisonList | None
) -> list[list[Pending]]:
    """What a worker that died leaves to run again: of the first `running` batches each member alone."""
    for members in batches:
        for member in members:
            member.leave_batch()
    blamed = [one for members in batches[:running] for one in open_only(members)]
    alone = [[one] for one in blamed if strike(one, now, poison)]
    return alone + [group for members in batches[running:] if (group := open_only(members))]


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
