"""Who waits for a model whose batches a strategy forms: the actor around that pure function.

DESIGN: it stands where a queue policy's `Levels` would stand, so what becomes of a batch once it is formed is
the queue's own affair for both; a model without a strategy pays one comparison with None for it, a batch.
A strategy is asked while an instance is idle: when requests have come, when a batch has ended, and at the
time it named. What it answers is held against the rules of gateway.core.batching: an answer that breaks one,
or an exception, is counted and logged, and the most urgent go in its place, as many rows as a batch takes.

An instance has one batch at a time, as under a queue policy: what lies ready in a worker gathers no more
rows. So the strategy is told what is true of idle instances, at the price of the front's turn between two
batches, some 50 us.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from math import inf

from gateway.core.batching import (
    NOTHING,
    Batch,
    Formed,
    Observed,
    Policy,
    Queued,
    Strategies,
    broken_rule,
    urgency,
)
from gateway.core.errors import DeadlineExceeded, GatewayError, Overloaded
from gateway.core.model import ModelSpec
from gateway.scheduling.arrival_rate import ArrivalRate
from gateway.scheduling.cost import CostFit
from gateway.scheduling.pending import Pending
from gateway.scheduling.queue_policy import level_of
from gateway.scheduling.slot import Slot

log = logging.getLogger("gateway.batching")

# A strategy is given no more than this of the line, or a full queue would cost milliseconds a batch.
_WINDOW = 1024


class StrategyRoom:
    """Owns everything that waits for one model version with a strategy.

    Invariant: `_line` is in the order of urgency, and `_pendings` has whose each of its entries is; `_ready`
    are batches formed and not yet taken; `waiting` counts both. A closed request stays until it is met.
    """

    def __init__(self, spec: ModelSpec, strategies: Strategies, max_requests: int) -> None:
        batching = spec.batching
        self._spec = spec
        self._strategy = strategies.by_name[batching.strategy]
        self._on_fault = strategies.on_fault
        self._max_requests = max_requests
        self._policy = Policy(
            spec.max_batch_size,
            batching.preferred_sizes,
            batching.max_queue_delay_s,
            batching.objective_s,
            batching.size,
            batching.by_deadline,
        )
        self._window = max(_WINDOW, 2 * spec.max_batch_size)
        self._places = spec.concurrency or 1
        self._slots: Mapping[int, Slot] = {}
        self._line: list[Queued] = []
        self._pendings: dict[int, Pending] = {}
        self._ready: deque[list[Pending]] = deque()
        self._handles = count()
        self._fit = CostFit()
        self._rate = ArrivalRate()
        self.waiting = 0
        self.faults = 0

    def watch(self, slots: Mapping[int, Slot]) -> int:
        """Must be called with the queue's instances, as they come and go; how many batches each may have."""
        self._slots = slots
        return self._places

    # ---- in -------------------------------------------------------------------------------------

    def add(self, pending: Pending, now: float) -> None:
        """Lets `pending` wait; raises Overloaded where it is full."""
        if self.waiting >= self._max_requests:
            self._leave(self._line, now)
            if self.waiting >= self._max_requests:
                raise Overloaded("Exceeds maximum queue size", retry_after_s=1.0)
        level = level_of(self._spec.batching, pending.request.priority)
        plan = pending.plan
        one = Queued(next(self._handles), pending.arrived, plan.rows, pending.deadline, level, plan.compat)
        self._pendings[one.handle] = pending
        if self._line and self._urgency(one) < self._urgency(self._line[-1]):
            insort(self._line, one, key=self._urgency)
        else:
            self._line.append(one)
        self.waiting += 1
        self._rate.came(plan.rows, now)

    def _urgency(self, one: Queued) -> tuple[int, float, float, int]:
        return urgency(one, self._policy)

    # ---- out ------------------------------------------------------------------------------------

    def take(self, now: float) -> tuple[list[Pending], float]:
        """The next batch, if one is due; when to look again (else inf)."""
        if members := self._next_ready(now):
            return members, inf
        self._leave(self._line[: self._window], now)
        observed = self._observed(now)
        if not self._line or not observed.idle:
            return [], inf
        formed = self._form(now, self._line[: self._window], observed)
        self._make_ready(formed.batches)
        return self._next_ready(now), formed.wake_at

    def _next_ready(self, now: float) -> list[Pending]:
        """The next batch that was formed, without those who have gone since or are too late."""
        while self._ready:
            members = self._ready.popleft()
            self.waiting -= len(members)
            late = [one for one in members if one.is_open and one.deadline <= now]
            for one in late:
                one.fail(_too_late())
            if running := [one for one in members if one.is_open]:
                return running
        return []

    def _make_ready(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._ready.append([self._pendings.pop(one.handle) for one in batch])
        if batches:
            self._line = [one for one in self._line if one.handle in self._pendings]

    def _form(self, now: float, queued: list[Queued], observed: Observed) -> Formed:
        """What the strategy answers, or where that cannot be used what would be right without one."""
        given = tuple(queued)
        try:
            formed = self._strategy(now, given, self._policy, observed)
            fault = broken_rule(now, given, self._policy, observed, formed)
        except Exception as error:  # ruff: ignore[blind-except] - a strategy is a plugin's
            fault = f"{type(error).__name__}: {error}"
            formed = NOTHING
        if not fault:
            return formed
        self._count(fault)
        return first_come(given, self._policy, observed)

    def _count(self, fault: str) -> None:
        self.faults += 1
        self._on_fault(self._spec.batching.strategy)
        if self.faults & (self.faults - 1) == 0:  # the first, and then ever more seldom
            log.error(
                "batching strategy '%s' of model %s: %s (fault %d); requests go in their order instead",
                *(self._spec.batching.strategy, self._spec.key, fault, self.faults),
            )

    # ---- what is observed -----------------------------------------------------------------------

    def ran(self, members: Sequence[Pending], now: float) -> None:
        """A batch has been answered: what it took, the way to the worker and back with it."""
        self._fit.ran(members[0].batch_rows, now - members[0].sent)

    def _observed(self, now: float) -> Observed:
        per_row_s, per_batch_s = self._fit.per_row_s, self._fit.per_batch_s
        idle, places, free_at = 0, 0, inf
        for slot in self._slots.values():
            for members in slot.batches.values():
                ends = members[0].sent + per_row_s * members[0].batch_rows + per_batch_s
                free_at = min(free_at, max(ends, now))
            if slot.on_idle is None:
                places += self._places
                idle += max(self._places - len(slot.batches), 0)
        return Observed(idle, places, per_row_s, per_batch_s, self._rate.per_s(now), free_at)

    # ---- time -----------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Must be called every few hundredths of a second: fails what is over its deadline."""
        self._leave(self._line, now)

    def _leave(self, line: Sequence[Queued], now: float) -> None:
        """Takes those of `line` out who have gone, or whose deadline is over."""
        gone = [
            one
            for one in line
            if not (pending := self._pendings[one.handle]).is_open or pending.deadline <= now
        ]
        if not gone:
            return
        left = [self._pendings.pop(one.handle) for one in gone]
        self._line = [one for one in self._line if one.handle in self._pendings]
        self.waiting -= len(left)
        # Only now: whoever is told may ask again at once.
        for pending in left:
            pending.fail(_too_late())

    def fail_all(self, error: GatewayError) -> None:
        """Fails everything that waits with one cause."""
        everyone = [*(one for batch in self._ready for one in batch), *self._pendings.values()]
        self._ready.clear()
        self._line.clear()
        self._pendings.clear()
        self.waiting = 0
        for member in everyone:
            member.fail(error)

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert self._line == sorted(self._line, key=self._urgency)
        assert {one.handle for one in self._line} == set(self._pendings)
        assert self.waiting == len(self._line) + sum(map(len, self._ready)) <= self._max_requests


def first_come(queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    """The most urgent, with as many rows as a batch takes; nothing waits for company."""
    batches: list[Batch] = []
    left = list(queued)
    while left and len(batches) < observed.idle:
        batch, left = _head(left, policy.max_rows)
        batches.append(batch)
    return Formed(tuple(batches))


def _head(queued: list[Queued], max_rows: int) -> tuple[Batch, list[Queued]]:
    """The first one and who may share its batch, up to the first that does not fit; and the rest."""
    batch: list[Queued] = []
    rest: list[Queued] = []
    room = max_rows
    for one in queued:
        if one.compat != queued[0].compat:
            rest.append(one)
        elif not batch or one.rows <= room:
            batch.append(one)
            room -= one.rows
        else:
            rest.append(one)
            room = 0  # nobody behind it is to overtake it
    return tuple(batch), rest


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("Request timeout expired")
