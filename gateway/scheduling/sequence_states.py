"""A sequence and the requests of it that wait; what may happen to one is a table, all else is a defect."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from gateway.core.sequence import SequenceId
from gateway.scheduling.pending import Pending
from gateway.scheduling.sequence_steps import Step


class State(enum.Enum):
    """Of a sequence. WAITING for a slot; in one, READY has a request that may run, IDLE has none."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    IDLE = "idle"
    OVER = "over"


class Event(enum.Enum):
    """What happens to a sequence. PAUSED: there is no request of it now; DISPLACED: it lost its slot."""

    PLACED = "placed"
    SENT = "sent"
    NEXT = "next"
    PAUSED = "paused"
    DISPLACED = "displaced"
    ENDED = "ended"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.WAITING, Event.PLACED): State.READY,
    (State.WAITING, Event.ENDED): State.OVER,
    (State.READY, Event.SENT): State.RUNNING,
    (State.READY, Event.PAUSED): State.IDLE,
    (State.READY, Event.DISPLACED): State.WAITING,
    (State.READY, Event.ENDED): State.OVER,
    (State.RUNNING, Event.NEXT): State.READY,
    (State.RUNNING, Event.PAUSED): State.IDLE,
    (State.RUNNING, Event.DISPLACED): State.WAITING,
    (State.RUNNING, Event.ENDED): State.OVER,
    (State.IDLE, Event.NEXT): State.READY,
    (State.IDLE, Event.ENDED): State.OVER,
}


class Sequence:
    """One sequence. Invariant: it has a place (`instance`, `slot`) unless it is WAITING or OVER.

    `has_begun` while the model has its state: a start has run, and no end. `is_closing` once the last
    request that was taken in is to end it: the next one must start it anew.
    """

    __slots__ = ("has_begun", "identity", "idle_since", "instance", "is_closing", "slot", "state", "turns")

    def __init__(self, identity: SequenceId) -> None:
        self.identity = identity
        self.state: State = State.WAITING
        self.turns: deque[Turn] = deque()
        self.instance = 0
        self.slot = -1
        self.has_begun = False
        self.is_closing = False
        self.idle_since = 0.0

    def take(self, event: Event) -> None:
        """Goes where the table says; KeyError for what cannot happen."""
        self.state = TRANSITIONS[self.state, event]

    @property
    def arrived(self) -> float:
        """When the request came that is its next."""
        return self.turns[0].pending.arrived if self.turns else inf


class Turn(NamedTuple):
    """One request of a sequence."""

    pending: Pending
    step: Step
    sequence: Sequence
