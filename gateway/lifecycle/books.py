"""Who has which memory: one entry for each instance that has a place, until its worker is gone.

reserved   it loads, and is thought to need so much
loaded     it was measured, or is still thought, to take so much
leaving    it is being stopped: what it has is promised to nobody before it is gone

All values; the actor that keeps them is `placing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from gateway.core.model import ModelKey

Stage = Literal["reserved", "loaded", "leaving"]
STAGES: tuple[Stage, ...] = ("reserved", "loaded", "leaving")


class Entry(msgspec.Struct, frozen=True):
    """One instance's memory on one device; `since` is when it came to its stage.

    It takes `least_bytes` whatever is measured.
    """

    key: ModelKey
    device: str
    size_bytes: int
    stage: Stage
    since: float
    pinned: bool = False
    least_bytes: int = 0


Books = Mapping[int, Entry]  # by ticket


def taken_bytes(entries: Iterable[Entry], device: str) -> int:
    """What is not to be promised of a device."""
    return sum(entry.size_bytes for entry in entries if entry.device == device)


def coming_bytes(entries: Iterable[Entry], device: str) -> int:
    """What is reserved and will soon not be free any more."""
    return sum(one.size_bytes for one in entries if one.device == device and one.stage == "reserved")


def free_bytes(entries: Iterable[Entry], device: str, capacity_bytes: int, really_free: int | None) -> int:
    """What may be promised: by these books, and no more than is really free where that is known."""
    kept = list(entries)
    by_books = capacity_bytes - taken_bytes(kept, device)
    if really_free is None:
        return max(0, by_books)
    return max(0, min(by_books, really_free - coming_bytes(kept, device)))


def by_stage(entries: Iterable[Entry]) -> dict[tuple[str, Stage], int]:
    """Bytes by device and stage."""
    sums: dict[tuple[str, Stage], int] = {}
    for one in entries:
        sums[one.device, one.stage] = sums.get((one.device, one.stage), 0) + one.size_bytes
    return sums
