"""The sequences of one stateful model version: who lives where, who waits, who is over. No loop, no links.

DESIGN: a sequence is its id, the requests of it that wait, and while it has one a place: a slot of an
instance, which it keeps until it ends, is idle for too long, or loses the instance. Its requests run
one after the other. Sequences beyond the slots wait for one in the order in which their first requests
came. Nothing happens by time alone: whoever asks for something brings `now`, and what is over by then
is over.

A request that was given up before it ran is skipped. If it was to start the sequence, what follows up
to the next start cannot run: it would find the state of nobody, or of the sequence before.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from math import inf

from gateway.core.errors import DeadlineExceeded, GatewayError, InstanceDied, InvalidInput, Overloaded
from gateway.core.model import ModelSpec
from gateway.core.sequence import SequenceId
from gateway.scheduling.pending import Pending
from gateway.scheduling.sequence_batches import Take, decide_direct, decide_oldest
from gateway.scheduling.sequence_states import Event, Sequence, State, Turn
from gateway.scheduling.sequence_steps import Step, unknown_sequence

_RETRY_S = 1.0


class Instance:
    """The slots of one instance: those taken, by number, and a heap of the free ones.

    `ready` and `running` are those of `taken` in that state.
    """

    __slots__ = ("free", "is_open", "ready", "running", "taken")

    def __init__(self, slots: int) -> None:
        self.taken: dict[int, Sequence] = {}
        self.ready: dict[int, Sequence] = {}
        self.running: dict[int, Sequence] = {}
        self.free = list(range(slots))
        self.is_open = True  # takes further sequences


class SequenceTable:
    """Owns every sequence of one model version in this front.

    Invariant: each that is not OVER is in `_known`; those that wait for a slot are in `_backlog`, the one
    whose request came first in front, and all others in their place. `waiting` counts the turns of all.
    Errors for callers gather in `refused`: whoever tells them may be asked anew at once.
    """

    def __init__(self, spec: ModelSpec, max_requests: int) -> None:
        batching = spec.sequence
        assert batching is not None, "made for stateful models alone"
        self._model = spec.name
        self._batching = batching
        self._rows = max(1, spec.max_batch_size)
        self._slots = self._rows if batching.is_direct else batching.max_candidates
        self._max_requests = max_requests
        self._known: dict[SequenceId, Sequence] = {}
        self._backlog: list[Sequence] = []
        self._idle: dict[Sequence, None] = {}
        self._instances: dict[int, Instance] = {}
        self.waiting = 0
        self.refused: list[tuple[Pending, GatewayError]] = []

    # ---- requests in ------------------------------------------------------------------------------

    def enter(self, pending: Pending, step: Step, now: float) -> None:
        """Takes a request in; raises InvalidInput where its sequence is not open, Overloaded when full."""
        self.expire(now)
        if self.waiting >= self._max_requests:
            self.sweep(now)
        sequence = self._known.get(step.identity)
        is_open = sequence is not None and not sequence.is_closing
        if not is_open and not step.is_start:
            raise self._unknown(step)
        if self.waiting >= self._max_requests:
            raise Overloaded("Exceeds maximum queue size", retry_after_s=_RETRY_S)
        if sequence is None:
            sequence = self._known[step.identity] = Sequence(step.identity)
        sequence.turns.append(Turn(pending, step, sequence))
        sequence.is_closing = step.is_end
        self.waiting += 1
        if sequence.state is State.IDLE:
            self._move(sequence, Event.NEXT)
        elif sequence.state is State.WAITING and len(sequence.turns) == 1:
            self._queue(sequence)
            self._admit(now)

    def _unknown(self, step: Step) -> InvalidInput:
        return unknown_sequence(self._model, step.identity, self._batching.max_idle_s)

    # ---- instances --------------------------------------------------------------------------------

    def open(self, instance: int, now: float) -> None:
        """An instance is there, and sequences that wait may live in it."""
        self._instances[instance] = Instance(self._slots)
        self._admit(now)

    def close(self, instance: int) -> None:
        """No further sequence goes there; those that live there stay."""
        self._instances[instance].is_open = False

    def has_turns(self, instance: int) -> bool:
        """True while a request waits for its turn in that instance."""
        place = self._instances[instance]
        return bool(place.ready) or any(sequence.turns for sequence in place.running.values())

    def lose(self, instance: int, now: float) -> None:
        """It is gone, with the states of its sequences: each is over unless it has not begun or begins anew.

        Must be called with no turn out, or told of it by `died` before.
        """
        for sequence in self._instances[instance].taken.values():
            if sequence.has_begun:
                sequence.has_begun = False
                self._skip_to_start(sequence, InstanceDied(self._loss(sequence)))
            self._displace(sequence)
        del self._instances[instance]
        self._admit(now)

    def died(self, turns: Iterable[Turn]) -> list[tuple[Pending, GatewayError]]:
        """What those are told that were running in an instance which died: nothing runs twice here."""
        return [(turn.pending, InstanceDied(self._loss(turn.sequence))) for turn in turns]

    def _loss(self, sequence: Sequence) -> str:
        return (
            f"the model's process died, and with it the state of sequence {sequence.identity}: "
            f"it must be started anew"
        )

    # ---- batches out ------------------------------------------------------------------------------

    def take(self, instance: int, now: float) -> tuple[list[Turn], float]:
        """The next batch of an instance that runs none, if one is due; if one will be, when (else inf)."""
        ready = self._instances[instance].ready
        for sequence in list(ready.values()):
            self._settle(sequence, now)
        heads = [sequence.turns[0] for sequence in ready.values()]
        if not heads:
            return [], inf
        chosen = self._choose(now, heads)
        for turn in chosen.turns:
            turn.sequence.turns.popleft()
            turn.sequence.has_begun = True
            self._move(turn.sequence, Event.SENT)
        self.waiting -= len(chosen.turns)
        return chosen.turns, chosen.wake_at

    def _choose(self, now: float, heads: list[Turn]) -> Take:
        if self._batching.is_direct:
            return decide_direct(now, heads, self._slots, self._batching)
        return decide_oldest(now, heads, self._rows, self._batching)

    def answered(self, turns: Iterable[Turn], now: float) -> None:
        """The instance is done with a batch, whatever came of it."""
        for turn in turns:
            sequence = turn.sequence
            if turn.step.is_end:
                sequence.has_begun = False
                self._vacate(sequence)
            else:
                self._go_on(sequence, now)
        self._admit(now)

    def unsent(self, turns: Iterable[Turn], now: float) -> None:
        """A batch that was taken did not reach the instance: as if its requests had been given up."""
        for turn in turns:
            if turn.step.is_start or turn.step.is_end:
                turn.sequence.has_begun = False
            self._go_on(turn.sequence, now)
        self._admit(now)

    def _go_on(self, sequence: Sequence, now: float) -> None:
        """After a run: its next request is ready, or there is none yet."""
        if sequence.turns:
            self._move(sequence, Event.NEXT)
            self._settle(sequence, now)
        else:
            self._rest(sequence, now)

    def _rest(self, sequence: Sequence, now: float) -> None:
        """It has no request: it is idle, or over where the model has no state of it."""
        if sequence.has_begun:
            self._move(sequence, Event.PAUSED)
            sequence.idle_since = now
        else:
            self._vacate(sequence)

    def _settle(self, sequence: Sequence, now: float) -> None:
        """Skips those of its next requests that will not run; must be WAITING, READY or IDLE."""
        turns = sequence.turns
        while turns:
            head = turns[0]
            is_late = head.pending.deadline <= now
            if head.pending.is_open and not is_late and (sequence.has_begun or head.step.is_start):
                return
            turns.popleft()
            self.waiting -= 1
            if head.step.is_start or head.step.is_end:
                sequence.has_begun = False
            if head.pending.is_open:
                self.refused.append((head.pending, _too_late() if is_late else self._unknown(head.step)))
        if sequence.state is State.READY:
            self._rest(sequence, now)

    def _skip_to_start(self, sequence: Sequence, error: GatewayError) -> None:
        turns = sequence.turns
        while turns and not turns[0].step.is_start:
            self.refused.append((turns.popleft().pending, error))
            self.waiting -= 1

    # ---- slots ------------------------------------------------------------------------------------

    def _admit(self, now: float) -> None:
        """Gives free slots to those that have waited longest: in the instance that has most of them free."""
        while self._backlog:
            sequence = self._backlog[0]
            arrived = sequence.arrived
            self._settle(sequence, now)
            if not sequence.turns:
                self._backlog.pop(0)
                self._forget(sequence)
                continue
            if sequence.arrived != arrived:  # what came first was given up
                self._backlog.sort(key=_arrival)
                continue
            number = self._freest()
            if number is None:
                return
            self._backlog.pop(0)
            instance = self._instances[number]
            sequence.instance = number
            sequence.slot = heapq.heappop(instance.free)
            instance.taken[sequence.slot] = sequence
            self._move(sequence, Event.PLACED)

    def _freest(self) -> int | None:
        best, most = None, 0
        for number, instance in self._instances.items():
            if instance.is_open and len(instance.free) > most:
                best, most = number, len(instance.free)
        return best

    def _vacate(self, sequence: Sequence) -> None:
        """Gives its slot up; where it begins anew it waits for another one, behind those that came before."""
        instance = self._instances[sequence.instance]
        del instance.taken[sequence.slot]
        heapq.heappush(instance.free, sequence.slot)
        self._displace(sequence)

    def _displace(self, sequence: Sequence) -> None:
        if not sequence.turns:
            self._forget(sequence)
            return
        self._move(sequence, Event.DISPLACED)
        sequence.slot = -1
        self._queue(sequence)

    def _queue(self, sequence: Sequence) -> None:
        is_last = not self._backlog or self._backlog[-1].arrived <= sequence.arrived
        self._backlog.append(sequence)
        if not is_last:
            self._backlog.sort(key=_arrival)

    def _forget(self, sequence: Sequence) -> None:
        self._move(sequence, Event.ENDED)
        sequence.slot = -1
        del self._known[sequence.identity]

    def _move(self, sequence: Sequence, event: Event) -> None:
        """Lets `event` happen to a sequence; every index is true to its state again."""
        match sequence.state:
            case State.IDLE:
                del self._idle[sequence]
            case State.READY:
                del self._instances[sequence.instance].ready[sequence.slot]
            case State.RUNNING:
                del self._instances[sequence.instance].running[sequence.slot]
        sequence.take(event)
        match sequence.state:
            case State.IDLE:
                self._idle[sequence] = None
            case State.READY:
                self._instances[sequence.instance].ready[sequence.slot] = sequence
            case State.RUNNING:
                self._instances[sequence.instance].running[sequence.slot] = sequence

    # ---- time and trouble -------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Ends the sequences that have been idle for too long; whoever waits gets their slots."""
        while self._idle:
            sequence = next(iter(self._idle))
            if sequence.idle_since + self._batching.max_idle_s > now:
                break
            sequence.has_begun = False
            self._vacate(sequence)
        self._admit(now)

    def sweep(self, now: float) -> None:
        """Acts on every deadline and idle time that is over."""
        for sequence in self._with_turns():
            for turn in sequence.turns:
                if turn.pending.is_open and turn.pending.deadline <= now:
                    self.refused.append((turn.pending, _too_late()))
            if sequence.state is State.READY:
                self._settle(sequence, now)
        for sequence in self._backlog.copy():
            self._settle(sequence, now)
            if not sequence.turns:
                self._backlog.remove(sequence)
                self._forget(sequence)
        self._backlog.sort(key=_arrival)
        self.expire(now)

    def _with_turns(self) -> list[Sequence]:
        found = self._backlog.copy()
        for instance in self._instances.values():
            found += instance.ready.values()
            found += instance.running.values()
        return found

    def fail_waiting(self, error: GatewayError, now: float) -> None:
        """Fails everything that waits with one cause; what runs goes on."""
        for sequence in list(self._known.values()):
            self.refused += [(turn.pending, error) for turn in sequence.turns]
            self.waiting -= len(sequence.turns)
            sequence.turns.clear()
            sequence.is_closing = False
            self._settle(sequence, now)
        self._admit(now)

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert self.waiting == sum(len(one.turns) for one in self._known.values()) >= 0
        assert [one.arrived for one in self._backlog] == sorted(one.arrived for one in self._backlog)
        placed = [one for instance in self._instances.values() for one in instance.taken.values()]
        assert len(placed) + len(self._backlog) == len(self._known)
        for one in self._known.values():
            assert (one.state is State.WAITING) == (one in self._backlog) == (one.slot < 0)
            assert one.turns or one.state in {State.IDLE, State.RUNNING}
        for number, instance in self._instances.items():
            assert sorted([*instance.free, *instance.taken]) == list(range(self._slots))
            for slot, one in instance.taken.items():
                assert (one.instance, one.slot) == (number, slot)
                assert (slot in instance.ready) == (one.state is State.READY)
                assert (slot in instance.running) == (one.state is State.RUNNING)
                assert (one in self._idle) == (one.state is State.IDLE)
            assert {*instance.ready, *instance.running} <= instance.taken.keys()


def _arrival(sequence: Sequence) -> float:
    return sequence.arrived


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("Request timeout expired")
