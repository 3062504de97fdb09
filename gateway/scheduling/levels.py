"""Who waits for a model with a queue policy: by level, each with its own size and its own patience.

DESIGN: made only for a version whose policy asks for it; all others wait in the queue's own lanes, at
the cost of one comparison with None a request. In plain Python, eight requests a batch: a request is
added in 600 ns and its part of a pump is 560 ns, with and without this module there; under a policy of
two levels that is 1,400 and 1,300 ns, with a timeout 2,400 and 1,500 ns.

A lane holds requests of one rank that may share a batch, in the order they came. A rank is a level, or
what a level's policy has moved behind it (DELAY): the lowest rank goes first, within it whoever came
first, and a batch that goes anyway is filled up with what may share it, again by rank. So a request may
ride with a more urgent one, never overtake it.

The gateway's own bound holds for all levels together, or a caller could fill as many queues as there are
levels; so that a flood of one level does not shut out a more urgent one, a request that meets the bound
pushes out the last of the least urgent level, where that is less urgent than its own. Timeouts are a heap
beside the lanes: they need not end in the order of arrival, since a request may ask for less.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from math import inf

from gateway.core.errors import DeadlineExceeded, GatewayError, Overloaded, QueueTimeout
from gateway.core.model import BatchPolicy
from gateway.scheduling.batching import Lane, decide
from gateway.scheduling.pending import Compat, Pending
from gateway.scheduling.queue_policy import level_of, longest_wait_s, queue_of

# 2 * level, and one more for those whose patience is over and who are served all the same.
Rank = int
Key = tuple[Rank, Compat]

_RETRY_S = 1.0


class Levels:
    """Owns everything that waits for one model version under a queue policy.

    Invariant: no lane is empty; `waiting` is the sum of their lengths, and of `_sizes`. A closed request
    stays in its lane until it is met or swept. `_timed` has the lane of each that waits with a timeout.
    """

    def __init__(self, policy: BatchPolicy, max_rows: int, max_requests: int) -> None:
        self._policy = policy
        self._max_rows = max_rows
        self._max_requests = max_requests
        levels = policy.priority_levels + 1
        self._queues = [queue_of(policy, level) for level in range(levels)]
        self._sizes = [0] * levels
        self._lanes: dict[Key, Lane] = {}
        self._timed: dict[Pending, Key] = {}
        # By time; holds those that have left too, until they are due or more than half of it.
        self._due: list[tuple[float, int, Pending]] = []
        self._number = count()
        self.waiting = 0

    # ---- in -------------------------------------------------------------------------------------

    def add(self, pending: Pending, now: float) -> None:
        """Lets `pending` wait at its level; raises Overloaded where that is full."""
        request = pending.request
        level = level_of(self._policy, request.priority)
        pushed_out = self._make_room(level, now)
        key = (2 * level, pending.plan.compat)
        self._put(key, pending)
        wait_s = longest_wait_s(self._queues[level], request.timeout_at - pending.arrived)
        if wait_s < inf:
            self._watch(pending, key, now + wait_s)
        if pushed_out is not None:
            pushed_out.fail(_full())

    def _make_room(self, level: int, now: float) -> Pending | None:
        """Sees to it that one more may wait; returns whom that costs the place."""
        limit = self._queues[level].max_queue_size or self._max_requests
        if self._sizes[level] >= limit or self.waiting >= self._max_requests:
            self._settle(now)
            self._forget_closed()
        if self._sizes[level] >= limit:
            raise _full()
        if self.waiting < self._max_requests:
            return None
        key = max(self._lanes, key=lambda key: (key[0], self._lanes[key][-1].arrived))
        if key[0] // 2 <= level:
            raise _full()
        last = self._lanes[key].pop()
        self._left(key, last)
        return last

    def _watch(self, pending: Pending, key: Key, at: float) -> None:
        if len(self._due) > 2 * len(self._timed) + 64:
            self._due = [entry for entry in self._due if entry[2] in self._timed]
            heapq.heapify(self._due)
        self._timed[pending] = key
        heapq.heappush(self._due, (at, next(self._number), pending))

    def _put(self, key: Key, pending: Pending) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
        lane.append(pending)
        self.waiting += 1
        self._sizes[key[0] // 2] += 1

    def _left(self, key: Key, pending: Pending) -> None:
        """Must be called for whatever was taken out of the lane `key`."""
        self.waiting -= 1
        self._sizes[key[0] // 2] -= 1
        self._timed.pop(pending, None)
        if not self._lanes[key]:
            del self._lanes[key]

    # ---- out ------------------------------------------------------------------------------------

    def take(self, now: float) -> tuple[list[Pending], float]:
        """The next batch, if one is due; if none is but will be, when (else inf)."""
        self._settle(now)
        self._trim(now)
        if not self._lanes:
            return [], inf
        _, compat = min(self._lanes, key=self._urgency)
        limit, wake_at = self._limit(compat, now)
        if wake_at < inf:
            return [], wake_at
        return self._fill(compat, limit, now), inf

    def _trim(self, now: float) -> None:
        """Removes whoever will not run from the heads of the lanes, so that none leads a batch."""
        late: list[Pending] = []
        for key, lane in list(self._lanes.items()):
            while lane and not (lane[0].is_open and lane[0].deadline > now):
                late.append(lane[0])
                self._left(key, lane.popleft())
        # Only now: whoever is told may ask again at once.
        for pending in late:
            pending.fail(_too_late())

    def _urgency(self, key: Key) -> tuple[Rank, float]:
        return key[0], self._lanes[key][0].arrived

    def _limit(self, compat: Compat, now: float) -> tuple[int, float]:
        """How many rows may go now; where none may yet, when they may."""
        policy, limit = self._policy, self._max_rows
        if not limit or not (policy.max_queue_delay_s or policy.preferred_sizes):
            return limit, inf
        lanes = [self._lanes[key] for key in self._keys(compat)]
        rows = sum(waiting.plan.rows for lane in lanes for waiting in lane if waiting.is_open)
        if not rows:
            return limit, inf
        decision = decide(now, rows, min(lane[0].arrived for lane in lanes), policy, limit)
        return decision.rows, decision.wake_at

    def _fill(self, compat: Compat, max_rows: int, now: float) -> list[Pending]:
        """Takes what fits into `max_rows` by rank; at least one. The expired do not run."""
        taken: list[Pending] = []
        late: list[Pending] = []
        room = max_rows
        for key in self._keys(compat):
            lane = self._lanes[key]
            while lane:
                first = lane[0]
                is_due = first.is_open and first.deadline > now
                if is_due and taken and first.plan.rows > room:
                    break
                self._left(key, lane.popleft())
                if is_due:
                    taken.append(first)
                    room -= first.plan.rows
                else:
                    late.append(first)
            if lane:
                break
        for pending in late:
            pending.fail(_too_late())
        return taken

    def _keys(self, compat: Compat) -> list[Key]:
        return sorted((key for key in self._lanes if key[1] == compat), key=lambda key: key[0])

    # ---- time -----------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Must be called every few hundredths of a second: acts on each timeout and deadline that is over."""
        self._settle(now)
        late = [one for lane in self._lanes.values() for one in lane if one.is_open and one.deadline <= now]
        for pending in late:
            pending.fail(_too_late())
        self._forget_closed()

    def _settle(self, now: float) -> None:
        """Rejects or moves back whoever has waited long enough, in the order of their timeouts."""
        while self._due and self._due[0][0] <= now:
            pending = heapq.heappop(self._due)[2]
            key = self._timed.pop(pending, None)
            if key is None or not pending.is_open:
                continue
            if pending.deadline <= now:
                pending.fail(_too_late())
            elif self._queues[key[0] // 2].timeout_action == "reject":
                pending.fail(QueueTimeout("Request timeout expired", retry_after_s=_RETRY_S))
            else:
                self._lanes[key].remove(pending)
                self._left(key, pending)
                self._put((key[0] + 1, key[1]), pending)

    def _forget_closed(self) -> None:
        """Drops whoever is closed from the lanes, so that they hold neither memory nor a place."""
        for key, lane in list(self._lanes.items()):
            closed = [member for member in lane if not member.is_open]
            if closed:
                self._lanes[key] = deque(member for member in lane if member.is_open)
                for member in closed:
                    self._timed.pop(member, None)
                self.waiting -= len(closed)
                self._sizes[key[0] // 2] -= len(closed)
                if not self._lanes[key]:
                    del self._lanes[key]

    def fail_all(self, error: GatewayError) -> None:
        """Fails everything that waits with one cause."""
        everyone = [member for lane in self._lanes.values() for member in lane]
        self._lanes.clear()
        self._timed.clear()
        self._due.clear()
        self._sizes = [0] * len(self._sizes)
        self.waiting = 0
        for member in everyone:
            member.fail(error)

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert all(self._lanes.values())
        assert self.waiting == sum(map(len, self._lanes.values())) == sum(self._sizes)
        assert self.waiting <= self._max_requests
        for level, size in enumerate(self._sizes):
            assert 0 <= size <= (self._queues[level].max_queue_size or self._max_requests)
        for pending, key in self._timed.items():
            assert pending in self._lanes[key]


def _full() -> Overloaded:
    return Overloaded("Exceeds maximum queue size", retry_after_s=_RETRY_S)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("Request timeout expired")
