"""Who has which memory: one entry for each instance that has a place, until its worker is gone.

reserved   it loads, and is thought to need so much
loaded     it was measured, or is still thought, to take so much
leaving    it is being stopped: what it has is promised to nobody before it is gone
asleep     nobody is served from it: weights that wait for the model's next use

Sums are kept, not made: whoever hands out places asks for them several times at each load, and with 500
instances on a device adding them up took half of the controller's time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping
from typing import Literal

import msgspec

from gateway.core.model import ModelKey
from gateway.lifecycle.recency import Recency

Stage = Literal["reserved", "loaded", "leaving", "asleep"]
STAGES: tuple[Stage, ...] = ("reserved", "loaded", "leaving", "asleep")
# What can make room for others.
_RESIDENT = ("loaded", "asleep")


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


class Books:
    """Entries by ticket. Invariants: the sums are those of the entries; `_recency` has the resident ones."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._bytes: Counter[tuple[str, Stage]] = Counter()
        self._at: defaultdict[tuple[str, Stage], dict[int, Entry]] = defaultdict(dict)
        self._models: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._recency: defaultdict[str, Recency] = defaultdict(Recency)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._entries

    def __getitem__(self, ticket: int) -> Entry:
        return self._entries[ticket]

    @property
    def tickets(self) -> Mapping[int, Entry]:
        """All there are."""
        return self._entries

    def put(self, ticket: int, entry: Entry) -> None:
        """What is known of a ticket from now on."""
        self.remove(ticket)
        self._entries[ticket] = entry
        self._bytes[entry.device, entry.stage] += entry.size_bytes
        self._at[entry.device, entry.stage][ticket] = entry
        if entry.stage != "asleep":
            self._models[entry.device][entry.key.name] += 1
        if entry.stage in _RESIDENT:
            self._recency[entry.device].add(ticket, entry.since)

    def remove(self, ticket: int) -> None:
        """Its worker is gone; harmless when repeated."""
        entry = self._entries.pop(ticket, None)
        if entry is None:
            return
        self._bytes[entry.device, entry.stage] -= entry.size_bytes
        del self._at[entry.device, entry.stage][ticket]
        self._recency[entry.device].discard(ticket)
        if entry.stage == "asleep":
            return
        models = self._models[entry.device]
        models[entry.key.name] -= 1
        if not models[entry.key.name]:
            del models[entry.key.name]

    def on(self, device: str, stage: Stage) -> Mapping[int, Entry]:
        """Those of a device that are at a stage, by ticket."""
        return self._at[device, stage]

    def oldest_first(self, device: str, used_at: Callable[[int], float]) -> Generator[int]:
        """The tickets of a device that can make room, the least recently used first: see Recency."""
        return self._recency[device].oldest_first(used_at)

    def models(self, device: str) -> Mapping[str, int]:
        """How many instances of which models are on a device; those that sleep are in nobody's way."""
        return self._models[device]

    def instances(self, device: str) -> int:
        """How many are on a device."""
        return sum(len(self._at[device, stage]) for stage in STAGES if stage != "asleep")

    def bytes(self, device: str, stage: Stage) -> int:
        """What those of a device have that are at a stage."""
        return self._bytes[device, stage]

    def free_bytes(self, device: str, capacity_bytes: int, really_free: int | None) -> int:
        """What may be promised: by these books, and no more than is really free where that is known."""
        by_books = capacity_bytes - sum(self._bytes[device, stage] for stage in STAGES)
        if really_free is None:
            return max(0, by_books)
        return max(0, min(by_books, really_free - self._bytes[device, "reserved"]))

    def by_stage(self) -> dict[tuple[str, Stage], int]:
        """Bytes by device and stage."""
        return {known: size_bytes for known, size_bytes in self._bytes.items() if self._at[known]}

    def check(self) -> None:
        """Asserts the invariant."""
        for (device, stage), size_bytes in self._bytes.items():
            there = {k: e for k, e in self._entries.items() if (e.device, e.stage) == (device, stage)}
            assert there == self._at[device, stage]
            assert size_bytes == sum(entry.size_bytes for entry in there.values())
        for device, models in self._models.items():
            awake = [e for e in self._entries.values() if e.device == device and e.stage != "asleep"]
            assert models == Counter(e.key.name for e in awake)
