"""How many batches an instance has at a time, and what those of a model with a concurrency need besides."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.clock import Clock
from gateway.core.model import ModelSpec
from gateway.scheduling.pending import Pending, as_stream
from gateway.scheduling.queue_policy import has_levels
from gateway.scheduling.slot import Slot
from gateway.telemetry.executions import Executions
from gateway.workers.links import Link


def trouble_of(slots: Iterable[Slot]) -> str:
    """Why none of the instances can answer now; "" where one can, or none is there."""
    troubles = [slot.trouble for slot in slots]
    return troubles[0] if troubles and all(troubles) else ""


def room_of(spec: ModelSpec, most: int) -> int:
    """How many batches an instance may have, where a worker may have `most` that lie ready."""
    if spec.concurrency:
        return spec.concurrency
    # A stream's answers may be as slow as their reader: others would wait behind them in the worker instead
    # of in the queue, where another instance can take them. And what lies ready in a worker can be neither
    # overtaken nor timed out.
    return 1 if spec.decoupled or has_levels(spec.batching) else most


def accompany(
    spec: ModelSpec, link: Link, batch_id: int, members: list[Pending], executions: Executions, clock: Clock
) -> None:
    """Must be called before a batch is sent of a model that is decoupled or has a concurrency."""
    if spec.decoupled:
        as_stream(members[0]).run_as(link, batch_id, executions, clock)
    else:
        link.limit(batch_id, max(member.deadline for member in members) - clock())


def stop_abandoned(slot: Slot) -> None:
    """Ends the batches that nobody waits for, of a model with a concurrency."""
    for batch_id, members in slot.batches.items():
        if not any(member.is_open for member in members):
            slot.link.stop(batch_id)
