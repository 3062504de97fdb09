"""Both ends of a channel for calls in one process; the front's listener is the test."""

from __future__ import annotations

import socket
from array import array

from gateway.core.messages import Lease
from gateway.core.tensor import Tensor
from gateway.runtimes.calls import Desk
from gateway.workers import call_frames, frames
from gateway.workers.arena import Arena
from gateway.workers.call_channel import CallChannel
from gateway.workers.call_frames import Asked, Piece, Place
from gateway.workers.call_link import CallLink
from gateway.workers.frames import Kind
from tests.fakes.forked_worker import PollLoop

GENERATION = 7
MIB = 1 << 20


class Callee:
    """A CallListener that keeps what it is told; inputs are copied, unless `keeps` their leases."""

    def __init__(self) -> None:
        self.calls: dict[int, tuple[Asked, tuple[Tensor, ...]]] = {}
        self.leases: list[Lease] = []
        self.keeps = False
        self.taken: list[tuple[int, int]] = []
        self.cancelled: list[int] = []
        self.closed = 0

    def on_call(self, number: int, asked: Asked, inputs: tuple[Tensor, ...], lease: Lease | None) -> None:
        copies = tuple(Tensor(one.name, one.dtype, one.shape, bytes(one.data)) for one in inputs)
        self.calls[number] = asked, copies
        if lease is not None:
            self.leases.append(lease)
            if not self.keeps:
                lease.release()

    def on_taken(self, number: int, size: int) -> None:
        self.taken.append((number, size))

    def on_cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def on_closed(self) -> None:
        self.closed += 1


class Ends:
    """A link, and the other end as a bare socket or (`channel`) as a worker's."""

    def __init__(self, arena_bytes: int = 64 * MIB) -> None:
        ours, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.arena = Arena(arena_bytes, MIB)
        self.loop = PollLoop()
        self.callee = Callee()
        self.broken: list[str] = []
        self.link = CallLink(ours, GENERATION, self.arena, self.loop, self.on_broken)
        self.link.listen(self.callee)

    def on_broken(self, reason: str) -> None:
        self.broken.append(reason)
        self.link.close()

    def send(self, frame: bytes, *fds: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        self.sock.sendmsg([frame], rights)

    def turn(self) -> Callee:
        self.loop.turn(1.0)
        return self.callee

    def close(self) -> None:
        self.link.close()
        self.sock.close()
        self.arena.close()


class WorkerEnds(Ends):
    """The same with a worker's channel, whose desk has the batch 1 in hand."""

    def __init__(self, arena_bytes: int = 64 * MIB) -> None:
        super().__init__(arena_bytes)
        self.desk = Desk()
        self.progress: list[int] = []
        self.channel = CallChannel(self.sock, GENERATION, self.desk, lambda: self.progress.append(1))
        self.channel.begin(1)

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.channel.end()
            self.channel.close()
        super().close()


def call_frame(
    number: int = 1,
    pieces: tuple[Piece, ...] = (),
    places: tuple[Place | None, ...] | None = None,
    model: str = "m",
) -> bytes:
    """A CALL of batch 1."""
    names = tuple(f"X{index}" for index in range(len(pieces)))
    head = call_frames.encode_head(Asked(1, model, 0, names))
    return call_frames.pack(Kind.CALL, GENERATION, number, head, pieces, places or (None,) * len(pieces))


def word(kind: Kind, number: int, amount: int = 0) -> bytes:
    """A CANCEL or CREDIT of a call."""
    return frames.pack_stream(kind, GENERATION, number, amount)
