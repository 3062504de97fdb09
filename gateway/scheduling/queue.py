"""The actor of one model version in a front: requests in, batches out, answers back.

DESIGN: everything runs on the front's event loop, in callbacks, without tasks. A request that meets
an idle instance is sent at the end of the loop's turn it arrived in (`call_soon`): requests read from
other sockets in the same turn then share its batch, at no cost in latency. While all instances are
busy requests gather, and the next answer takes as many as fit. Two batches may be in a worker at a
time, so that it finds the next one waiting when it answers.

A worker answers in order, so when it dies the oldest batch is to blame: its members run again one by
one, each at most once more; members of later batches were not started and run again as they were.
A batch whose run raised is halved until the request to blame is alone.

A decoupled model runs one request at a time in each instance, in order of arrival, for as long as that
answers. Once one answer has left nothing runs again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, ModelFailed, Overloaded
from gateway.core.messages import Lease
from gateway.core.model import ModelSpec
from gateway.scheduling.batching import Lane, decide, forget_closed, halves, oldest_lane, open_only, take
from gateway.scheduling.concurrency import accompany, room_of, stop_abandoned, trouble_of
from gateway.scheduling.contract import InstanceEvents, Loop, Timer
from gateway.scheduling.failures import FOR_ALL, error_of, expire, fail_all, left_behind
from gateway.scheduling.levels import Levels
from gateway.scheduling.ordering import Ordering
from gateway.scheduling.pending import Compat, Pending, PendingStream, as_stream
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue_policy import has_levels
from gateway.scheduling.refusals import one_answer_only
from gateway.scheduling.settings import SchedulingSettings
from gateway.scheduling.signature import Signatures
from gateway.scheduling.slot import QueueStatistics, Slot, freest
from gateway.scheduling.splitting import split, whole
from gateway.scheduling.strategy_room import StrategyRoom
from gateway.telemetry.executions import Executions
from gateway.workers.frames import Failure
from gateway.workers.links import Fault, Link, Output, Timings

_POISONOUS = "this input has made the model's process die, it is refused for a while"


class ModelQueue:
    """Owns everything waiting or running for one model version in this front."""

    def __init__(
        self,
        spec: ModelSpec,
        settings: SchedulingSettings,
        loop: Loop,
        clock: Clock,
        poison: PoisonList,
        events: InstanceEvents,
        executions: Executions,
    ) -> None:
        self.spec = spec
        self._signatures = Signatures(spec)
        self._settings = settings
        self._loop = loop
        self._clock = clock
        self._poison = poison
        self._events = events
        self._executions = executions
        self._is_decoupled = spec.decoupled
        self._is_accompanied = spec.decoupled or spec.concurrency > 0
        self._max_rows = spec.max_batch_size if spec.batching.enabled and not spec.decoupled else 0
        self._slots: dict[int, Slot] = {}
        # Invariant: no lane is empty. `_again` are groups that must run exactly as they are.
        self._lanes: dict[Compat, Lane] = {}
        self._again: deque[list[Pending]] = deque()
        self._waiting = 0
        self._is_pump_due = False
        self._next_batch = 1
        self._delay: Timer | None = None
        # For few models: a queue policy or a strategy (then `_lanes` stay empty), and answers in order.
        self._levels: Levels | StrategyRoom | None = None
        self._room: StrategyRoom | None = None
        self._ordering: Ordering | None = None
        self._batches_in_flight = room_of(spec, settings.batches_in_flight)
        policy, most = spec.batching, settings.max_queue_requests
        if policy.preserve_ordering and not spec.decoupled:  # one at a time are in order anyway
            self._ordering = Ordering(loop, most)
        if has_levels(policy) or self._ordering is not None:
            self._levels = Levels(policy, self._max_rows, most)

    def wait_in(self, room: StrategyRoom) -> None:
        """Must be called before the first request, where a strategy forms the batches."""
        self._levels = self._room = room
        self._batches_in_flight = room.watch(self._slots)

    # ---- requests in ----------------------------------------------------------------------------

    def add(self, pending: Pending) -> None:
        """Admits a request; raises InvalidInput, Overloaded, ModelFailed (a known poison) or Unsupported."""
        request = pending.request
        if self._is_decoupled and not isinstance(pending, PendingStream):
            raise one_answer_only(request.protocol)
        pending.plan = plan = self._signatures.plan(request)
        if self._levels is not None:
            self._add_to_level(pending, self._levels)
            return
        if self._waiting >= self._settings.max_queue_requests:
            self._waiting -= forget_closed(self._lanes)
            if self._waiting >= self._settings.max_queue_requests:
                raise Overloaded("Exceeds maximum queue size", retry_after_s=1.0)
        if self._poison.contains(request, pending.arrived):
            raise ModelFailed(_POISONOUS)
        lane = self._lanes.get(plan.compat)
        if lane is None:
            lane = self._lanes[plan.compat] = deque()
        lane.append(pending)
        self._waiting += 1
        self._pump_soon()

    def _add_to_level(self, pending: Pending, levels: Levels | StrategyRoom) -> None:
        if self._poison.contains(pending.request, pending.arrived):
            raise ModelFailed(_POISONOUS)
        if self._ordering is not None:
            self._ordering.refuse_full()
        levels.add(pending, self._clock())
        self._waiting = levels.waiting
        if self._ordering is not None:
            self._ordering.enter(pending)
        self._pump_soon()

    # ---- instances ------------------------------------------------------------------------------

    @property
    def has_instances(self) -> bool:
        """True while a batch could be sent now or after an answer."""
        return any(slot.on_idle is None for slot in self._slots.values())

    def attach(self, link: Link) -> None:
        """An instance is there; whatever waits may use it at once."""
        self._slots[link.worker_id] = Slot(link)
        self._pump_soon()

    def detach(self, worker: int, on_idle: Callable[[], None]) -> None:
        """Nothing more goes to this instance; `on_idle` is called when it has answered everything."""
        slot = self._slots.get(worker)
        if slot is None:
            on_idle()
            return
        slot.on_idle = on_idle
        self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        if slot.on_idle is not None and not slot.batches:
            del self._slots[slot.link.worker_id]
            slot.on_idle()

    # ---- batches out ----------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Sends batches while an instance has room and something is due."""
        self._is_pump_due = False
        while self._waiting or self._again:
            slot = freest(self._slots.values(), self._batches_in_flight)
            if slot is None:
                return
            members = self._next_members()
            if not members:
                return
            self._send(slot, members)

    def _next_members(self) -> list[Pending]:
        while self._again:
            group = self._again.popleft()
            expire(group, self._clock())
            if members := open_only(group):
                return members
        if self._levels is not None:
            return self._take_by_level(self._levels)
        while (lane := oldest_lane(self._lanes)) is not None:
            members = self._take(lane)
            if members:
                return members
            if lane:
                return []  # not due yet; the timer is set
        return []

    def _take_by_level(self, levels: Levels | StrategyRoom) -> list[Pending]:
        now = self._clock()
        members, wake_at = levels.take(now)
        self._waiting = levels.waiting
        if wake_at < inf:
            self._wake_in(wake_at - now)
        return members

    def _take(self, lane: Lane) -> list[Pending]:
        """What of `lane` is due now; an emptied lane is removed."""
        limit = self._max_rows
        policy = self.spec.batching
        if limit and (policy.max_queue_delay_s or policy.preferred_sizes):
            rows = sum(waiting.plan.rows for waiting in lane if waiting.is_open)
            now = self._clock()
            decision = decide(now, rows, lane[0].arrived, policy, limit)
            if not decision.rows and decision.wake_at < inf and rows:
                self._wake_in(decision.wake_at - now)
                return []
            limit = decision.rows
        before = len(lane)
        compat = lane[0].plan.compat
        members = take(lane, limit, self._clock())
        self._waiting -= before - len(lane)
        if not lane:
            del self._lanes[compat]
        return members

    def _wake_in(self, delay_s: float) -> None:
        if self._delay is not None:
            self._delay.cancel()
        self._delay = self._loop.call_later(max(delay_s, 0.0), self._pump)

    def _send(self, slot: Slot, members: list[Pending]) -> None:
        batch_id = self._next_batch
        self._next_batch = batch_id + 1
        now = self._clock()
        plan = members[0].plan
        rows = 0
        for member in members:
            rows += member.plan.rows
            member.sent = now
            member.in_batch = True
        for member in members:
            member.batch_rows = rows
        slot.batches[batch_id] = members
        if self._is_accompanied:
            accompany(self.spec, slot.link, batch_id, members, self._executions, self._clock)
        parts = [
            [member.request.inputs[member.plan.order[place]].data for member in members]
            for place in range(len(plan.order))
        ]
        try:
            slot.link.send(batch_id, rows, plan.signature, parts)
        except GatewayError as error:
            del slot.batches[batch_id]
            fail_all(members, error)

    # ---- answers back ---------------------------------------------------------------------------

    def on_reply(
        self, link: Link, batch_id: int, outputs: tuple[Output, ...], timings_ns: Timings, lease: Lease | None
    ) -> None:
        """A batch's outputs, checked by the channel against the spec; takes over `lease`."""
        members = self._finished(link, batch_id)
        self._ran(members, timings_ns)
        if self._ordering is not None:
            self._ordering.answer(self.spec, members, outputs, timings_ns, lease)
        elif len(members) == 1:
            only = members[0]
            only.answer(whole(self.spec, only, outputs, lease))
            only.leave_batch()
        else:
            for member, response in zip(members, split(self.spec, members, outputs, lease), strict=True):
                member.answer(response)
                member.leave_batch()
            if lease is not None:
                lease.release()
        if self._waiting or self._again:
            self._pump_soon()

    def _ran(self, members: list[Pending], timings_ns: Timings) -> None:
        """Counts a batch that was answered, but for those of it who wait no more."""
        self._executions.ran(members[0].batch_rows, len(members), timings_ns)
        if self._room is not None:
            self._room.ran(members, self._clock())
        for member in members:
            member.timings_ns = timings_ns
            if not member.is_open:
                self._executions.dropped(member.plan.rows, timings_ns)

    def on_part(
        self, link: Link, batch_id: int, part: tuple[Output, ...] | Fault, cost: int, lease: Lease | None
    ) -> None:
        """One answer of a decoupled model, checked by the channel; takes over `lease`."""
        only = as_stream(self._slots[link.worker_id].batches[batch_id][0])
        result = error_of(*part) if isinstance(part, Fault) else whole(self.spec, only, part, lease)
        only.part(result, cost, self._clock())

    def on_end(self, link: Link, batch_id: int, infer_ns: int) -> None:
        """A decoupled model has given all its answers to a request."""
        only = as_stream(self._finished(link, batch_id)[0])
        self._ran([only], (0, infer_ns, 0))
        only.end()
        only.leave_batch()
        self._pump_soon()

    def on_error(self, link: Link, batch_id: int, failure: Failure, text: str, wait_s: float = 0.0) -> None:
        """A batch's run was refused or raised: alone it is the caller's error, else it is halved."""
        members = self._finished(link, batch_id)
        for member in members:
            member.leave_batch()
        still_open = open_only(members)
        if len(members) == 1 or failure in FOR_ALL:
            error = error_of(failure, text, wait_s)
            for member in still_open:
                member.fail(error) if self._ordering is None else self._ordering.tell(member, error)
        else:
            self._again.extend(half for half in halves(still_open) if half)
        self._pump_soon()

    def on_state(self, link: Link, trouble: str) -> None:
        """An instance can answer from now on (""), or cannot."""
        if slot := self._slots.get(link.worker_id):
            slot.trouble = trouble

    @property
    def trouble(self) -> str:
        """Why no instance can answer now, "" where one can."""
        return trouble_of(self._slots.values())

    def on_suspect(self, link: Link, reason: str) -> None:
        """The worker broke its model's promise: whoever keeps the workers must hear of it."""
        self._events.on_suspect(link.worker_id, reason)

    def on_lost(self, link: Link, reason: str, batch_ids: tuple[int, ...]) -> None:
        """The worker is gone: the batch it was running gets a strike, all it had runs again."""
        slot = self._slots.pop(link.worker_id, None)
        if slot is None:
            return
        batches = list(slot.batches.values())
        slot.batches.clear()
        # With a concurrency it ran all of them, and none is to blame: such a model has no code here.
        running, poison = (len(batches), None) if self.spec.concurrency else (1, self._poison)
        self._again.extend(left_behind(batches, running, self._clock(), poison))
        if slot.on_idle is not None:
            slot.on_idle()
        self._events.on_lost(link.worker_id, reason)
        self._pump_soon()

    def _finished(self, link: Link, batch_id: int) -> list[Pending]:
        slot = self._slots[link.worker_id]
        members = slot.batches.pop(batch_id)
        if slot.on_idle is not None:
            self._let_go(slot)
        return members

    # ---- time and trouble -----------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Must be called every few hundredths of a second: fails what is over its deadline."""
        for group in (*self._lanes.values(), *self._again):
            expire(group, now)
        for slot in self._slots.values():
            for members in slot.batches.values():
                expire(members, now)
            if self.spec.concurrency:
                stop_abandoned(slot)
        if self._levels is None:
            self._waiting -= forget_closed(self._lanes)
            return
        self._levels.sweep(now)
        self._waiting = self._levels.waiting
        if self._ordering is not None:
            self._ordering.sweep(now)

    def fail_waiting(self, error: GatewayError) -> None:
        """Fails everything not in a worker with one cause."""
        for group in (*self._lanes.values(), *self._again):
            fail_all(list(group), error)
        self._lanes.clear()
        self._again.clear()
        if self._levels is not None:
            self._levels.fail_all(error)
        self._waiting = 0

    def members(self, worker: int, batch_id: int) -> list[Pending]:
        """For whom an instance runs a batch now."""
        slot = self._slots.get(worker)
        return [] if slot is None else slot.batches.get(batch_id, [])

    def statistics(self) -> QueueStatistics:
        """What waits and runs now."""
        in_flight = 0 if self._ordering is None else self._ordering.held
        in_flight += sum(len(members) for slot in self._slots.values() for members in slot.batches.values())
        return QueueStatistics(self._waiting + sum(map(len, self._again)), in_flight, len(self._slots))

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert all(self._lanes.values())
        if self._levels is not None:
            self._levels.check()
        lanes = sum(map(len, self._lanes.values()))
        assert self._waiting == (lanes if self._levels is None else self._levels.waiting)
        if self._ordering is not None:
            self._ordering.check()
        for slot in self._slots.values():
            assert len(slot.batches) <= self._batches_in_flight
