"""The actor of a stateful model version in a front: sequences.SequenceTable acted on, batch by batch.

DESIGN: it stands where queue.ModelQueue stands for all other models, and is a class of its own because
almost nothing holds of both: here each request has one instance to go to, nothing may run twice, and
one batch at a time runs in an instance, so that the next one finds whatever has come meanwhile. What a
model does not keep itself can be run again: a batch that raised is then run request by request, so that
who is not to blame is answered.

One front owns all sequences of a model. With several fronts a model like this is not served at all
(lifecycle.offers): which front a connection reaches is the kernel's choice, so that requests of one
sequence would meet tables that do not know it. Owners by a hash of the id, with forwarding between
fronts, would lift that; a table in the worker would too, but batches are formed here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.messages import Lease
from gateway.core.model import ModelSpec
from gateway.core.sequence import hidden_inputs, hidden_outputs
from gateway.core.tensor import Buffer
from gateway.scheduling.contract import InstanceEvents, Loop, Timer
from gateway.scheduling.failures import error_of, expire
from gateway.scheduling.pending import Pending
from gateway.scheduling.sequence_states import Turn
from gateway.scheduling.sequence_steps import check_rows, faults_of, identity_bytes, read_step, step_bytes
from gateway.scheduling.sequences import SequenceTable
from gateway.scheduling.settings import SchedulingSettings
from gateway.scheduling.signature import Signatures
from gateway.scheduling.slot import QueueStatistics
from gateway.scheduling.splitting import split, whole
from gateway.telemetry.executions import Executions
from gateway.workers.frames import Failure
from gateway.workers.links import Fault, Link, Output, Timings
from gateway.workers.plans import Signature


class Seat:
    """An instance as this queue sees it: its link, and the batch that it runs, 0 and [] while it runs none.

    `again` are turns that go one by one before anything else. `on_idle` as slot.Slot has it.
    """

    __slots__ = ("again", "batch_id", "link", "on_idle", "turns")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.batch_id = 0
        self.turns: list[Turn] = []
        self.again: deque[Turn] = deque()
        self.on_idle: Callable[[], None] | None = None


class SequenceQueue:
    """Owns everything waiting or running for one stateful model version in this front."""

    def __init__(
        self,
        spec: ModelSpec,
        settings: SchedulingSettings,
        loop: Loop,
        clock: Clock,
        events: InstanceEvents,
        executions: Executions,
    ) -> None:
        batching = spec.sequence
        assert batching is not None, "made for stateful models alone"
        self.spec = spec
        self._signatures = Signatures(spec)
        self._loop = loop
        self._clock = clock
        self._events = events
        self._executions = executions
        self._table = SequenceTable(spec, settings.max_queue_requests)
        self._tells_faults = bool(hidden_outputs(spec.backend))
        self._hidden = tuple([
            (tensor.dtype, tensor.shape) for tensor in hidden_inputs(batching, spec.backend)
        ])
        # A model that keeps something itself may have half of a batch behind it when it raises.
        self._may_repeat = bool(batching.states) or spec.backend != "python"
        self._seats: dict[int, Seat] = {}
        self._is_pump_due = False
        self._next_batch = 1
        self._delay: Timer | None = None

    # ---- requests in ----------------------------------------------------------------------------

    def add(self, pending: Pending) -> None:
        """Admits a request; raises InvalidInput or Overloaded."""
        request = pending.request
        step = read_step(self.spec, request.parameters)
        pending.plan = self._signatures.plan(request)
        check_rows(self.spec.name, pending.plan.rows)
        try:
            self._table.enter(pending, step, self._clock())
        finally:
            self._tell()
        self._pump_soon()

    def _tell(self) -> None:
        """Tells callers what the table has found out; each may ask anew at once."""
        while self._table.refused:
            pending, error = self._table.refused.pop(0)
            pending.fail(error)

    trouble = ""  # why no instance can answer now: what is served here always can

    # ---- instances ------------------------------------------------------------------------------

    @property
    def has_instances(self) -> bool:
        """True while a batch could be sent now or after an answer."""
        return any(seat.on_idle is None for seat in self._seats.values())

    def attach(self, link: Link) -> None:
        """An instance is there; sequences that wait may live in it at once."""
        self._seats[link.worker_id] = Seat(link)
        self._table.open(link.worker_id, self._clock())
        self._tell()
        self._pump_soon()

    def detach(self, worker: int, on_idle: Callable[[], None]) -> None:
        """No further sequence goes to this instance; `on_idle` is called at the first moment in which no
        request of those that live there is under way. They are lost then.
        """
        seat = self._seats.get(worker)
        if seat is None:
            on_idle()
            return
        seat.on_idle = on_idle
        self._table.close(worker)
        self._let_go(seat)

    def _let_go(self, seat: Seat) -> None:
        worker = seat.link.worker_id
        if seat.on_idle is None or seat.turns or seat.again or self._table.has_turns(worker):
            return
        del self._seats[worker]
        self._table.lose(worker, self._clock())
        self._tell()
        seat.on_idle()

    # ---- batches out ----------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Gives every instance that runs nothing its next batch, if one is due."""
        self._is_pump_due = False
        wake_at = inf
        for seat in list(self._seats.values()):
            if not seat.turns:
                wake_at = min(wake_at, self._feed(seat))
        self._tell()
        if wake_at < inf:
            if self._delay is not None:
                self._delay.cancel()
            self._delay = self._loop.call_later(max(wake_at - self._clock(), 0.0), self._pump)

    def _feed(self, seat: Seat) -> float:
        """Sends a batch; where none is due but will be, when (else inf)."""
        now = self._clock()
        while seat.again:
            turn = seat.again.popleft()
            if turn.pending.is_open:
                self._send(seat, [turn])
                return inf
            self._table.unsent([turn], now)
        turns, wake_at = self._table.take(seat.link.worker_id, now)
        if turns:
            self._send(seat, turns)
        elif seat.on_idle is not None:
            self._let_go(seat)
        return wake_at

    def _send(self, seat: Seat, turns: list[Turn]) -> None:
        batch_id = self._next_batch
        self._next_batch = batch_id + 1
        now = self._clock()
        members = [turn.pending for turn in turns]
        plan = members[0].plan
        for member in members:
            member.sent = now
            member.in_batch = True
            member.batch_rows = len(members)
        seat.batch_id = batch_id
        seat.turns = turns
        parts: list[list[Buffer]] = [
            [member.request.inputs[member.plan.order[place]].data for member in members]
            for place in range(len(plan.order))
        ]
        parts.append([step_bytes(turn.sequence.slot, turn.step) for turn in turns])
        if len(self._hidden) > 1:
            parts.append([identity_bytes(turn.step) for turn in turns])
        wanted = plan.signature.outputs
        if self._tells_faults:
            wanted += (len(self.spec.outputs),)
        signature = Signature(plan.signature.inputs + self._hidden, wanted)
        try:
            seat.link.send(batch_id, len(turns), signature, parts)
        except GatewayError as error:
            seat.turns = []
            self._table.unsent(turns, now)
            for member in members:
                member.in_batch = False
                member.fail(error)
            self._pump_soon()

    # ---- answers back ---------------------------------------------------------------------------

    def on_reply(
        self, link: Link, batch_id: int, outputs: tuple[Output, ...], timings_ns: Timings, lease: Lease | None
    ) -> None:
        """A batch's outputs, checked by the channel against the spec; takes over `lease`."""
        seat = self._seats[link.worker_id]
        turns, seat.turns = seat.turns, []
        members = [turn.pending for turn in turns]
        self._executions.ran(members[0].batch_rows, len(members), timings_ns)
        faults: list[GatewayError | None] = [None] * len(members)
        if self._tells_faults:
            faults = faults_of(outputs[-1][1])
            outputs = outputs[:-1]
        if len(members) == 1:
            responses = [whole(self.spec, members[0], outputs, lease)]
        else:
            responses = split(self.spec, members, outputs, lease)
            if lease is not None:
                lease.release()
        for member, response, fault in zip(members, responses, faults, strict=True):
            if fault is not None or not member.is_open:
                self._executions.dropped(member.plan.rows, timings_ns)
            member.timings_ns = timings_ns
            if fault is not None:
                member.fail(fault)
            member.answer(response)  # which drops it where it is not waited for
            member.leave_batch()
        self._done(turns)

    def on_part(
        self, link: Link, batch_id: int, part: tuple[Output, ...] | Fault, cost: int, lease: Lease | None
    ) -> None:
        """Never called: no stateful model is decoupled, and the channel knows that."""
        if lease is not None:
            lease.release()

    def on_end(self, link: Link, batch_id: int, infer_ns: int) -> None:
        """Never called; see `on_part`."""

    def on_error(self, link: Link, batch_id: int, failure: Failure, text: str, wait_s: float = 0.0) -> None:
        """A batch's run was refused or raised; its sequences go on as they were before."""
        seat = self._seats[link.worker_id]
        turns, seat.turns = seat.turns, []
        for turn in turns:
            turn.pending.leave_batch()
        if len(turns) > 1 and self._may_repeat:
            seat.again.extend(turns)
            self._pump_soon()
            return
        error = error_of(failure, text, wait_s)
        for turn in turns:
            turn.pending.fail(error)
        self._done(turns)

    def _done(self, turns: list[Turn]) -> None:
        self._table.answered(turns, self._clock())
        self._tell()
        self._pump_soon()

    def on_state(self, link: Link, trouble: str) -> None:
        """Never called: no stateful model is served elsewhere."""

    def on_suspect(self, link: Link, reason: str) -> None:
        """The worker broke its model's promise: whoever keeps the workers must hear of it."""
        self._events.on_suspect(link.worker_id, reason)

    def on_lost(self, link: Link, reason: str, batch_ids: tuple[int, ...]) -> None:
        """The worker is gone, and the states of its sequences with it: nothing that had begun goes on."""
        worker = link.worker_id
        seat = self._seats.pop(worker, None)
        if seat is None:
            return
        for turn in seat.turns:
            turn.pending.leave_batch()
        fallen = self._table.died([*seat.turns, *seat.again])
        self._table.lose(worker, self._clock())
        for pending, error in fallen:
            pending.fail(error)
        self._tell()
        if seat.on_idle is not None:
            seat.on_idle()
        self._events.on_lost(worker, reason)
        self._pump_soon()

    # ---- time and trouble -----------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Must be called every few hundredths of a second: fails what is over its deadline."""
        for seat in self._seats.values():
            expire([turn.pending for turn in seat.turns], now)
            expire([turn.pending for turn in seat.again], now)
        self._table.sweep(now)
        self._tell()
        if self._table.waiting:
            self._pump_soon()

    def fail_waiting(self, error: GatewayError) -> None:
        """Fails everything not in a worker with one cause."""
        self._table.fail_waiting(error, self._clock())
        self._tell()

    def members(self, worker: int, batch_id: int) -> list[Pending]:
        """For whom an instance runs a batch now."""
        seat = self._seats.get(worker)
        return [] if seat is None or seat.batch_id != batch_id else [turn.pending for turn in seat.turns]

    def statistics(self) -> QueueStatistics:
        """What waits and runs now."""
        again = sum(len(seat.again) for seat in self._seats.values())
        in_flight = sum(len(seat.turns) for seat in self._seats.values())
        return QueueStatistics(self._table.waiting + again, in_flight, len(self._seats))

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        self._table.check()
        for seat in self._seats.values():
            assert not (seat.turns and seat.again) or len(seat.turns) == 1
