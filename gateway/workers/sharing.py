"""Decides for each large input whether it travels in the frame or in shared memory, and puts it there."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.errors import Overloaded
from gateway.core.tensor import Buffer
from gateway.workers import frames
from gateway.workers.arena import Arena, ArenaLease, Segment
from gateway.workers.frames import HEADER_BYTES
from gateway.workers.plans import RunPlan

# From here on a reference to memory that is shared already beats the socket's two copies.
REFERENCE_BYTES = 32 << 10


class Shared:
    """Inputs of one batch in the arena; holds a lease for each until `release`."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.segments: list[Segment] = []
        self.leases: list[ArenaLease] = []

    def place(
        self, plan: RunPlan, parts: Sequence[Sequence[Buffer]], sizes: Sequence[int]
    ) -> list[tuple[int, int] | None]:
        """For each input its (segment, offset), None for inline; raises Overloaded with nothing held."""
        table = frames.table_bytes([len(shape) for shape in plan.shapes], len(plan.outputs))
        inline = frames.choose_inline(sizes, HEADER_BYTES + table)
        try:
            return [self._place(*one) for one in zip(parts, sizes, inline, strict=True)]
        except Overloaded:
            self.release()
            raise

    def release(self) -> None:
        """The batch was answered, or never will be."""
        for lease in self.leases:
            lease.release()
        self.leases.clear()

    def _place(self, parts: Sequence[Buffer], size: int, fits: bool) -> tuple[int, int] | None:
        if size >= REFERENCE_BYTES and len(parts) == 1:
            found = self._arena.locate(parts[0])
            if found is not None and found[0].lease is not None:
                found[0].lease.hold()
                return self._refer(found[0], found[0].lease, found[1])
        return None if fits else self._copy(parts, size)

    def _copy(self, parts: Sequence[Buffer], size: int) -> tuple[int, int]:
        room = self._arena.allocate(size)
        if room is None:
            raise Overloaded("no shared memory is left for a batch of this size", retry_after_s=1.0)
        view, lease = room
        at = 0
        for part in parts:
            view[at : at + len(part)] = part
            at += len(part)
        return self._refer(lease.segment, lease, 0)

    def _refer(self, segment: Segment, lease: ArenaLease, offset: int) -> tuple[int, int]:
        self.segments.append(segment)
        self.leases.append(lease)
        return segment.number, offset
