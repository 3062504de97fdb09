"""Whose load comes next. Pure.

Cold models first, whose requests wait; after some of those in a row one that adds or restores capacity, so
that nobody is for ever last. Among equals the models take turns by their weights (stride scheduling,
Waldspurger and Weihl, 1995): a turn moves its model on by one over its weight, and the one that is least
far is next. One with a hundred instances or versions to load does not keep another waiting, and one that
had nothing to load for long has saved nothing up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

URGENT_IN_A_ROW = 4
# Then those that had a turn the longest ago are forgotten.
MAX_REMEMBERED = 10_000


class Turns:
    """How far each model has come. Invariant: whoever is not in it, or behind, is where the last turn was."""

    def __init__(self) -> None:
        self._passes: dict[str, float] = {}
        self._at = 0.0

    def of(self, model: str) -> float:
        """How far it is."""
        return max(self._at, self._passes.get(model, 0.0))

    def take(self, model: str, weight: int) -> None:
        """It has a turn."""
        self._at = self.of(model)
        self._passes.pop(model, None)
        self._passes[model] = self._at + 1 / weight
        if len(self._passes) > MAX_REMEMBERED:
            self._passes.pop(next(iter(self._passes)))


class Waiter(NamedTuple):
    """A load that waits, by its ticket: tickets rise with the time of asking."""

    ticket: int
    model: str
    is_urgent: bool


def in_order(waiting: Sequence[Waiter], turns: Turns, urgent_in_a_row: int) -> list[Waiter]:
    """`waiting`, the next first."""
    is_others_turn = urgent_in_a_row >= URGENT_IN_A_ROW

    def rank(one: Waiter) -> tuple[bool, float, int]:
        comes_late = one.is_urgent if is_others_turn else not one.is_urgent
        return comes_late, turns.of(one.model), one.ticket

    return sorted(waiting, key=rank)
