"""Whose load comes next. Pure.

Cold models first, whose requests wait; after some of those in a row one that adds or restores capacity, so
that nobody is for ever last. Among equals the model that has not had a turn for the longest, so that one
with a hundred instances or versions to load does not keep another waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

URGENT_IN_A_ROW = 4


class Waiter(NamedTuple):
    """A load that waits, by its ticket: tickets rise with the time of asking."""

    ticket: int
    model: str
    is_urgent: bool


def in_order(waiting: Sequence[Waiter], last_turns: Mapping[str, int], urgent_in_a_row: int) -> list[Waiter]:
    """`waiting`, the next first; `last_turns` number the last turn of each model that had one."""
    is_others_turn = urgent_in_a_row >= URGENT_IN_A_ROW

    def rank(one: Waiter) -> tuple[bool, int, int]:
        comes_late = one.is_urgent if is_others_turn else not one.is_urgent
        return comes_late, last_turns.get(one.model, 0), one.ticket

    return sorted(waiting, key=rank)
