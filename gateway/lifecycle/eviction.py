"""Which instances make room for another. Pure.

Least recently used first, as few as will do. Never one that is pinned or has requests in hand, nor one
that was loaded a moment ago: two models that do not fit together would put each other out at every request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.core.model import ModelKey


class Resident(NamedTuple):
    """A loaded instance on one device, by its ticket; times are those of the monotonic clock."""

    ticket: int
    key: ModelKey
    size_bytes: int
    last_used_at: float
    loaded_at: float
    in_flight: int = 0
    pinned: bool = False

    @property
    def used_at(self) -> float:
        """When it was last of use: a load that nobody waited out counts, too."""
        return max(self.last_used_at, self.loaded_at)


def choose(
    residents: Iterable[Resident], needed_bytes: int, now: float, minimum_residency_s: float
) -> tuple[Resident, ...] | None:
    """Those whose memory comes to `needed_bytes` or more, to be put out; None where no choice does.

    `residents` come in the order of `used_at`; no more of them are looked at than it takes.
    """
    chosen: list[Resident] = []
    found_bytes = 0
    able = (
        one
        for one in residents
        if not one.pinned and not one.in_flight and now - one.loaded_at >= minimum_residency_s
    )
    while found_bytes < needed_bytes and (one := next(able, None)) is not None:
        if one.size_bytes > 0:
            chosen.append(one)
            found_bytes += one.size_bytes
    if found_bytes < needed_bytes:
        return None
    for one in reversed(chosen):  # a large one that came last may do without small ones before it
        if found_bytes - one.size_bytes >= needed_bytes:
            chosen.remove(one)
            found_bytes -= one.size_bytes
    return tuple(chosen)
