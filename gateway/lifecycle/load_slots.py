"""Who may load next: a few loads at a time, cold models first, nobody for ever last."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

# After so many loads that requests waited for, one that adds or restores capacity goes first.
URGENT_IN_A_ROW = 4


class LoadSlots(NamedTuple):
    """The loads under way and those that wait, by an identity of the caller's, each in order of arrival.

    `urgent` is for versions no instance of which serves. Invariant: `len(running) <= limit`, and
    nobody waits while it is less.
    """

    limit: int
    running: frozenset[int] = frozenset()
    urgent: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    urgent_in_a_row: int = 0


def enter(slots: LoadSlots, who: int, *, is_urgent: bool) -> LoadSlots:
    """Queues a load; `grant` says when it may start."""
    if is_urgent:
        return slots._replace(urgent=(*slots.urgent, who))
    return slots._replace(others=(*slots.others, who))


def leave(slots: LoadSlots, who: int) -> LoadSlots:
    """A load has ended, or its owner no longer wants it; harmless for one that is not there."""
    return slots._replace(
        running=slots.running - {who},
        urgent=tuple(waiting for waiting in slots.urgent if waiting != who),
        others=tuple(waiting for waiting in slots.others if waiting != who),
    )


def grant(slots: LoadSlots) -> tuple[LoadSlots, int | None]:
    """The next load that may start now, marked as running; None where none may."""
    if len(slots.running) >= slots.limit or not (slots.urgent or slots.others):
        return slots, None
    is_others_turn = bool(slots.others) and (not slots.urgent or slots.urgent_in_a_row >= URGENT_IN_A_ROW)
    if is_others_turn:
        who, rest = slots.others[0], slots._replace(others=slots.others[1:], urgent_in_a_row=0)
    else:
        in_a_row = slots.urgent_in_a_row + 1
        who, rest = slots.urgent[0], slots._replace(urgent=slots.urgent[1:], urgent_in_a_row=in_a_row)
    return rest._replace(running=rest.running | {who}), who


class LoadGate:
    """Lets loads start as `grant` decides; owns the one LoadSlots value of a gateway."""

    def __init__(self, limit: int) -> None:
        self._slots = LoadSlots(limit)
        self._tickets = count(1)
        # Invariant: exactly the tickets that wait in _slots.
        self._starts: dict[int, Callable[[], None]] = {}

    def new_ticket(self) -> int:
        """A name for one load."""
        return next(self._tickets)

    def enter(self, ticket: int, start: Callable[[], None], *, is_urgent: bool) -> None:
        """Calls `start`, perhaps before returning, when the load may begin; `leave` when it has ended."""
        self._starts[ticket] = start
        self._slots = enter(self._slots, ticket, is_urgent=is_urgent)
        self._grant()

    def leave(self, ticket: int) -> None:
        """The load has ended, well or badly, or is not wanted any more; harmless when repeated."""
        self._starts.pop(ticket, None)
        self._slots = leave(self._slots, ticket)
        self._grant()

    @property
    def running(self) -> int:
        """Loads under way."""
        return len(self._slots.running)

    @property
    def waiting(self) -> int:
        """Loads that wait for a slot."""
        return len(self._starts)

    def check(self) -> None:
        """Asserts the invariants."""
        slots = self._slots
        assert len(slots.running) <= slots.limit
        assert set(self._starts) == {*slots.urgent, *slots.others}
        assert not self._starts or len(slots.running) == slots.limit

    def _grant(self) -> None:
        while True:
            self._slots, ticket = grant(self._slots)
            if ticket is None:
                return
            self._starts.pop(ticket)()
