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


def choose(
    residents: Iterable[Resident], needed_bytes: int, now: float, minimum_residency_s: float
) -> tuple[Resident, ...] | None:
    """Those whose memory comes to `needed_bytes` or more, to be put out; None where no choice does."""
    able = [
        one
        for one in residents
        if not one.pinned and not one.in_flight and now - one.loaded_at >= minimum_residency_s
    ]
    able.sort(key=lambda one: (max(one.last_used_at, one.loaded_at), one.ticket))
    chosen: list[Resident] = []
    found_bytes = 0
    for one in able:
        if found_bytes >= needed_bytes:
            break
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
