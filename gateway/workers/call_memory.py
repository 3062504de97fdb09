"""Large tensors on a channel for calls: in this end's arena until the other end has read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.workers import frames
from gateway.workers.arena import Arena, ArenaLease, Segment
from gateway.workers.call_frames import Piece, Place
from gateway.workers.frames import Kind, ProtocolViolation

# Segments that may lie with the other end at a time; with those that are free again it keeps fewer mapped
# than MAX_MAPPED, which a front takes from a worker.
MAX_LENT = 512
MAX_MAPPED = 1024

Send = Callable[[bytes, int | None], None]


class LentMemory:
    """Invariant: `_lent` are our segments that were sent of and not given back. Not safe for threads."""

    def __init__(self, arena: Arena, generation: int, send: Send) -> None:
        self._arena = arena
        self._generation = generation
        self._send = send
        self._lent: dict[int, ArenaLease] = {}
        self._announced: set[int] = set()
        arena.subscribe(self._forget)

    def place(self, pieces: Sequence[Piece], inline: Sequence[bool]) -> list[Place | None] | None:
        """Copies what is not to travel inline and says where it lies; None, nothing lent, without room."""
        if len(self._lent) + inline.count(False) > MAX_LENT:
            return None
        places: list[Place | None] = []
        for piece, fits in zip(pieces, inline, strict=True):
            room = None if fits else self._arena.allocate(len(piece.data))
            if not fits and room is None:
                self.take_back(places)
                return None
            places.append(None if room is None else self._copy(piece, *room))
        return places

    def take_back(self, places: Sequence[Place | None]) -> None:
        """Must be called when the frame that would tell of `places` is not sent."""
        for place in places:
            if place is not None:
                self._lent.pop(place[0]).release()

    def release(self, number: int) -> None:
        """The other end has read a segment; raises ProtocolViolation where it had none of that number."""
        lease = self._lent.pop(number, None)
        if lease is None:
            raise ProtocolViolation("RELEASE of a segment that is not lent")
        lease.release()

    def close(self) -> None:
        """Must be called when the channel has ended."""
        self._arena.unsubscribe(self._forget)
        for lease in self._lent.values():
            lease.release()
        self._lent.clear()

    def _copy(self, piece: Piece, view: memoryview, lease: ArenaLease) -> Place:
        view[:] = piece.data
        self._lent[lease.segment.number] = lease
        self._announce(lease.segment)
        return lease.segment.number, 0

    def _announce(self, segment: Segment) -> None:
        if segment.number not in self._announced:
            self._announced.add(segment.number)
            frame = frames.pack_control(Kind.SEGMENT, self._generation, segment.number, segment.size)
            self._send(frame, segment.fd)

    def _forget(self, number: int) -> None:
        if number in self._announced:
            self._announced.discard(number)
            self._send(frames.pack_control(Kind.FORGET, self._generation, number), None)
