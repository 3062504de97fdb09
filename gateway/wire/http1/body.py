"""Bodies on their way in: counted off the stream, gathered for endpoints that want them whole."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.wire.exchange import BodyMemory


class CountedBody:
    """A body of declared size: what follows the head, `size` bytes of it, goes to `sink`."""

    __slots__ = ("_left", "_sink")

    def __init__(self, sink: Callable[[bytes], None], size: int) -> None:
        self._sink = sink
        self._left = size

    @property
    def is_complete(self) -> bool:
        """True once all declared bytes have come."""
        return not self._left

    def feed(self, data: bytes, at: int = 0) -> int:
        """Takes the body's bytes of `data` from `at`; returns where they end."""
        end = min(len(data), at + self._left)
        self._left -= end - at
        # The usual piece of a large body is all body: then nothing is cut and nothing copied.
        self._sink(data if end - at == len(data) else data[at:end])
        return end


class GatheredBody:
    """Collects a body for `Endpoint.handle`: in shared memory if it is large and there is room.

    `size` is the declared one, 0 where only the end will tell. Memory is taken with the first bytes,
    not with the promise of them. Invariant: a lease taken is either handed over by `finish` or given
    back by `drop`, once.
    """

    __slots__ = ("_at", "_joined", "_lease", "_memory", "_offset", "_pieces", "_size", "_view")

    def __init__(self, size: int, memory: BodyMemory | None, payload_offset: int) -> None:
        self._size = size
        self._memory = memory
        self._offset = payload_offset
        self._pieces: list[bytes] = []
        self._joined: bytearray | None = None
        self._view: memoryview | None = None
        self._lease: Lease | None = None
        self._at = 0

    @classmethod
    def small(cls) -> GatheredBody:
        """For bodies that stay in this process; handed over as bytes."""
        return cls(0, None, 0)

    @classmethod
    def large(cls, size: int, memory: BodyMemory | None, payload_offset: int) -> GatheredBody:
        """For bodies worth shared memory; without room for it, handed over as a bytearray."""
        body = cls(size, memory, payload_offset)
        body._joined = bytearray()
        return body

    def add(self, piece: bytes) -> None:
        """Takes the next bytes."""
        if self._memory is not None:
            self._allocate(self._memory)
        if self._view is not None:
            end = self._at + len(piece)
            self._view[self._at : end] = piece
            self._at = end
        elif self._joined is not None:
            self._joined += piece
        else:
            self._pieces.append(piece)

    def finish(self) -> tuple[Buffer, Lease | None]:
        """The body and, where it lies in shared memory, its lease, which is the caller's from now on."""
        lease, self._lease = self._lease, None
        if self._view is not None:
            return self._view, lease
        if self._joined is not None:
            return self._joined, None
        return b"".join(self._pieces), None

    def drop(self) -> None:
        """The request died: gives the memory back. Harmless when repeated or after `finish`."""
        self._view = None
        self._pieces.clear()
        self._joined = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.release()

    def _allocate(self, memory: BodyMemory) -> None:
        self._memory = None
        room = memory.allocate(self._size, self._offset)
        if room is not None:
            self._view, self._lease = room
