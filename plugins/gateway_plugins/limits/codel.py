"""A standing queue, and how fast to shed for it: controlled delay over measured waits. Pure.

DESIGN: a queue that empties now and then is a burst being worked off; one whose shortest wait stays above
the target for a whole interval serves nobody, as it only makes everything later. CoDel tells the two apart
without knowing rates: while every wait measured is above the target, shed one request, then the next after
interval/√2, interval/√3 and so on, until one wait is below it. It was made for routers that drop at the
head of a queue; here the queue belongs to the scheduler, so it is newcomers that are shed, and who waited
goes on. Shedding grows slowly on purpose: after t seconds it is t/(2·interval²) a second. What it cannot
shed in time the queue's own bound refuses. Deciding by length instead would need the rate of each model.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

# Without a wait measured for as many intervals nothing is known of the queue.
_FORGOTTEN = 10
# A queue that stands again within as many intervals is the same overload: shedding goes on where it was.
_SAME = 16


class Queue(NamedTuple):
    """What is known of one queue."""

    measured_at: float = -inf
    standing_from: float = inf  # when all waits will have been above the target for an interval
    is_standing: bool = False
    is_shedding: bool = False
    shed: int = 0  # how many were shed since it began to stand
    next_at: float = -inf  # when the next one is to be shed


class Codel(NamedTuple):
    """Sheds while no wait within `interval_s` was below `target_s`."""

    target_s: float
    interval_s: float

    def measured(self, now: float, queue: Queue, wait_s: float) -> Queue:
        """What is known after a request that had waited for `wait_s`."""
        if wait_s < self.target_s:
            return Queue(now, shed=queue.shed, next_at=queue.next_at)
        if self._is_forgotten(now, queue):
            queue = Queue(shed=queue.shed, next_at=queue.next_at)
        if queue.standing_from == inf:
            return queue._replace(measured_at=now, standing_from=now + self.interval_s)
        return queue._replace(measured_at=now, is_standing=now >= queue.standing_from)

    def decide(self, now: float, queue: Queue, steps: int = 0) -> tuple[bool, Queue]:
        """Whether to shed a request that is `steps` more urgent than the lowest, and what is known then."""
        if not queue.is_standing or self._is_forgotten(now, queue):
            return False, queue
        if not queue.is_shedding:
            queue = self._begun(now, queue)
        if now < queue.next_at + steps * self.interval_s:
            return False, queue
        shed = queue.shed + 1
        return True, queue._replace(shed=shed, next_at=queue.next_at + self.interval_s / sqrt(shed))

    def _begun(self, now: float, queue: Queue) -> Queue:
        is_same = now - queue.next_at < _SAME * self.interval_s
        shed = max(queue.shed - 2, 0) if is_same else 0
        return queue._replace(is_shedding=True, shed=shed, next_at=now)

    def _is_forgotten(self, now: float, queue: Queue) -> bool:
        return now - queue.measured_at > _FORGOTTEN * self.interval_s


class Seen(NamedTuple):
    """The lowest priority (largest number) that came in this interval and in the one before."""

    until: float = -inf
    lowest: int = 0
    lowest_before: int = 0

    def with_one(self, now: float, interval_s: float, priority: int) -> Seen:
        """With a request of `priority`."""
        if now < self.until:
            return self if priority <= self.lowest else self._replace(lowest=priority)
        return Seen(now + interval_s, priority, self.lowest if now < self.until + interval_s else 0)

    @property
    def of_late(self) -> int:
        """The lowest of both."""
        return max(self.lowest, self.lowest_before)
