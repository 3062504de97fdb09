"""An instance as its queue sees it, and what the queue tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.scheduling.pending import Pending
from gateway.workers.links import Link


class Slot:
    """The batches an instance has. Invariant: no more than its queue allows; oldest first.

    `on_idle` is set once the instance is to leave: nothing more is sent, and it is called when the
    last batch is answered. `trouble` is why it cannot answer now, by its own word.
    """

    __slots__ = ("batches", "link", "on_idle", "trouble")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.batches: dict[int, list[Pending]] = {}
        self.on_idle: Callable[[], None] | None = None
        self.trouble = ""


def freest(slots: Iterable[Slot], limit: int) -> Slot | None:
    """The instance with the fewest batches, if one may take another without having more than `limit`."""
    best: Slot | None = None
    fewest = limit
    for slot in slots:
        if len(slot.batches) < fewest and slot.on_idle is None:
            best, fewest = slot, len(slot.batches)
    return best


class QueueStatistics(NamedTuple):
    """What waits and runs now."""

    waiting: int
    in_flight: int
    instances: int
