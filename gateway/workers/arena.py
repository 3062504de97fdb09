"""A bounded pool of shared memory: one allocation per segment, reused when its last hold is gone.

A front receives large bodies into it and so hands them to workers without a copy; a worker's engine
writes large outputs into its own. Sizes are powers of two from 256 KiB on, so that a freed segment
fits the next body of about that size; untouched pages cost nothing. The most recently freed is taken
first: its pages are there already, and a first touch costs about as much as the copy itself.
"""

from __future__ import annotations

import os
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from mmap import mmap

import msgspec

from gateway.core.tensor import Buffer
from gateway.workers import segments

MIN_SEGMENT_BYTES = 256 << 10
ALIGNMENT = 64
Forgotten = Callable[[int], None]


class ArenaStatistics(msgspec.Struct, frozen=True):
    """`total_bytes` of segments there are, `free_bytes` of them held by nobody."""

    segments: int
    total_bytes: int
    free_bytes: int


class Segment:
    """One piece of shared memory; `number` is never used twice. `lease` is None while it is free."""

    __slots__ = ("base", "fd", "lease", "memory", "number", "size")

    def __init__(self, number: int, fd: int, memory: mmap) -> None:
        self.number = number
        self.fd = fd
        self.memory = memory
        self.size = len(memory)
        self.base = segments.address(memory)
        self.lease: ArenaLease | None = None


class ArenaLease:
    """One allocation, counted; it begins with one hold. Implements core.messages.Lease."""

    __slots__ = ("_arena", "holds", "segment")

    def __init__(self, arena: Arena, segment: Segment) -> None:
        self._arena = arena
        self.segment = segment
        self.holds = 1

    def hold(self) -> None:
        """Must be paired with one `release`; the lease must still be held by somebody."""
        if self.holds <= 0:
            raise ValueError("hold of memory that was given back")
        self.holds += 1

    def release(self) -> None:
        """Gives one hold back; with the last one the memory may be written by somebody else."""
        if self.holds <= 0:
            raise ValueError("release of memory that was given back")
        self.holds -= 1
        if self.holds == 0:
            self._arena.reclaim(self.segment)


class Arena:
    """Invariant: total_bytes <= max_bytes; free_bytes <= keep_bytes after every call."""

    def __init__(self, max_bytes: int, keep_bytes: int = 64 << 20) -> None:
        self._max_bytes = max_bytes
        self._keep_bytes = min(keep_bytes, max_bytes)
        self._total_bytes = 0
        self._free_bytes = 0
        self._next = 1
        self._free: dict[int, deque[Segment]] = {}
        self._bases: list[int] = []
        self._by_base: dict[int, Segment] = {}
        self._forgotten: list[Forgotten] = []

    def allocate(self, size: int, payload_offset: int = 0) -> tuple[memoryview, ArenaLease] | None:
        """`size` writable bytes, aligned to 64 at `payload_offset`, held once; None: no room."""
        start = -payload_offset % ALIGNMENT
        segment = self._take(_size_class(size + start))
        if segment is None:
            return None
        segment.lease = ArenaLease(self, segment)
        return memoryview(segment.memory)[start : start + size], segment.lease

    def locate(self, buffer: Buffer) -> tuple[Segment, int] | None:
        """The leased segment that contains all of `buffer`, and where; None if none of ours does."""
        if not self._bases:
            return None
        view = memoryview(buffer)
        if not view.nbytes or not view.c_contiguous:
            return None
        place = segments.address(view)
        at = bisect_right(self._bases, place) - 1
        if at < 0:
            return None
        segment = self._by_base[self._bases[at]]
        offset = place - segment.base
        return (segment, offset) if segment.lease and offset + view.nbytes <= segment.size else None

    def reclaim(self, segment: Segment) -> None:
        """Called by the lease of `segment` when nobody holds it any more."""
        segment.lease = None
        if self._by_base.get(segment.base) is not segment:  # the arena was closed before
            return
        self._free.setdefault(segment.size, deque()).append(segment)
        self._free_bytes += segment.size
        self.trim(self._keep_bytes)

    def trim(self, keep_bytes: int = 0) -> None:
        """Gives free segments back to the system, largest and longest unused first, down to `keep_bytes`."""
        while self._free_bytes > keep_bytes:
            largest = max(self._free)
            self._destroy(self._pop_free(largest, newest=False))

    def subscribe(self, forgotten: Forgotten) -> None:
        """`forgotten` is told the number of every segment that ceases to exist."""
        self._forgotten.append(forgotten)

    def unsubscribe(self, forgotten: Forgotten) -> None:
        """Undoes `subscribe`."""
        self._forgotten.remove(forgotten)

    def statistics(self) -> ArenaStatistics:
        return ArenaStatistics(len(self._bases), self._total_bytes, self._free_bytes)

    def close(self) -> None:
        """Gives everything back; leases still held keep their memory readable until they are dropped."""
        self._free.clear()
        self._free_bytes = 0
        for segment in list(self._by_base.values()):
            self._destroy(segment)

    def check(self) -> None:
        """Asserts the invariants."""
        free = sum(len(queue) * size for size, queue in self._free.items())
        assert free == self._free_bytes <= self._total_bytes <= self._max_bytes
        assert sum(segment.size for segment in self._by_base.values()) == self._total_bytes

    def _take(self, size: int) -> Segment | None:
        if size in self._free:
            return self._pop_free(size, newest=True)
        if size > self._max_bytes - self._total_bytes:
            self.trim(max(0, self._free_bytes - (size - (self._max_bytes - self._total_bytes))))
        if size > self._max_bytes - self._total_bytes:
            return None
        return self._create(size)

    def _create(self, size: int) -> Segment | None:
        try:
            fd, memory = segments.create(size)
        except OSError:  # no descriptors or no address space left: the same as no room
            return None
        segment = Segment(self._next, fd, memory)
        self._next += 1
        self._total_bytes += size
        insort(self._bases, segment.base)
        self._by_base[segment.base] = segment
        return segment

    def _pop_free(self, size: int, *, newest: bool) -> Segment:
        queue = self._free[size]
        segment = queue.pop() if newest else queue.popleft()
        if not queue:
            del self._free[size]
        self._free_bytes -= size
        return segment

    def _destroy(self, segment: Segment) -> None:
        self._bases.remove(segment.base)
        del self._by_base[segment.base]
        self._total_bytes -= segment.size
        os.close(segment.fd)
        # A view that outlives its lease keeps the mapping, and only that, until it is dropped.
        with suppress(BufferError):
            segment.memory.close()
        for forgotten in tuple(self._forgotten):
            forgotten(segment.number)


def _size_class(size: int) -> int:
    return max(MIN_SEGMENT_BYTES, 1 << (size - 1).bit_length() if size else 0)
