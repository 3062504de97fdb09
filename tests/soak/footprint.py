"""What a gateway holds: processes, descriptors, threads and memory, each comparable with an earlier look."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.bench.memory import process_tree

_PROC = Path("/proc")
_MEMORY_FILE = "/memfd:"


class Footprint(NamedTuple):
    """One look at a process tree; memory in bytes of PSS, which counts a shared page once.

    `descriptors` leaves memory files out: freed segments of the shared-memory pools are kept for the
    next body, so their number is a cache's, bounded by `shared_bytes`, and no sign of a leak.
    """

    pids: frozenset[int]
    descriptors: Mapping[str, int]
    threads: int
    private_bytes: int
    shared_bytes: int

    @property
    def pss_bytes(self) -> int:
        """All memory but mapped files, whose share depends on who else maps them."""
        return self.private_bytes + self.shared_bytes

    def __str__(self) -> str:
        memory = f"{self.private_bytes >> 10} KiB of their own, {self.shared_bytes >> 10} KiB shared"
        return f"{len(self.pids)} processes, {self.threads} threads, {memory}, {dict(self.descriptors)}"


def look(root: int) -> Footprint:
    """The footprint of the process `root` and all below it, which must not end meanwhile."""
    pids = process_tree(root)
    memory = [_memory((_PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids]
    return Footprint(
        pids,
        Counter(kind for pid in pids for kind in _kinds(_PROC / str(pid) / "fd")),
        sum(len(os.listdir(_PROC / str(pid) / "task")) for pid in pids),
        sum(one["Pss_Anon"] for one in memory),
        sum(one["Pss_Shmem"] for one in memory),
    )


def _memory(smaps_rollup: str) -> Mapping[str, int]:
    lines = [line.split() for line in smaps_rollup.splitlines() if line.startswith("Pss_")]
    return Counter({words[0].rstrip(":"): int(words[1]) << 10 for words in lines})


def _kinds(folder: Path) -> Iterable[str]:
    for name in os.listdir(folder):
        try:
            target = os.readlink(folder / name)
        except FileNotFoundError:
            continue  # closed since the listing
        if not target.startswith(_MEMORY_FILE):
            yield target.partition(":")[0]
