"""What is told of model versions when somebody asks: what fronts counted, and the memory they hold.

Memory is read in a thread: the kernel walks a process's pages to tell it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.core.model import ModelKey
from gateway.core.statistics import MemoryUsage, VersionStatistics

_PRIVATE = ("Private_Clean:", "Private_Dirty:")
_PROC = Path("/proc")


class Accounts:
    """`count_up` tells what fronts have counted of a model ("" all), `pids` whose processes serve it."""

    def __init__(
        self,
        count_up: Callable[[str], Sequence[VersionStatistics]],
        pids: Callable[[str], Mapping[ModelKey, Sequence[int]]],
    ) -> None:
        self._count_up = count_up
        self._pids = pids

    async def of(self, model: str) -> list[VersionStatistics]:
        """By name and number; those that were called, and those that are loaded."""
        memory = await asyncio.to_thread(_memory, self._pids(model))
        entries = {ModelKey(one.name, one.version): one for one in self._count_up(model)}
        for key, size_bytes in memory.items():
            entry = entries.get(key) or VersionStatistics(key.name, key.version)
            entries[key] = msgspec.structs.replace(entry, memory=(MemoryUsage("CPU", 0, size_bytes),))
        return [entries[key] for key in sorted(entries, key=lambda key: (key.name, key.version))]


def _memory(pids: Mapping[ModelKey, Sequence[int]]) -> dict[ModelKey, int]:
    """Bytes by version; one whose processes tell nothing is left out."""
    sizes = {key: sum(private_bytes(pid) for pid in several) for key, several in pids.items()}
    return {key: size_bytes for key, size_bytes in sizes.items() if size_bytes}


def private_bytes(pid: int, proc: Path = _PROC) -> int:
    """What the end of a process would give back; 0 where it has ended, or is not ours to look at."""
    try:
        text = (proc / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith(_PRIVATE))
