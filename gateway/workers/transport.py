"""Frames and descriptors over the data channel's socket; both ends use it."""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.core.errors import Overloaded
from gateway.workers import frames
from gateway.workers.arena import Segment
from gateway.workers.frames import MAX_FRAME_BYTES, Kind, ProtocolViolation

# A send buffer holds this many frames of the largest size; the kernel doubles it for its own accounts.
SOCKET_BUFFER_BYTES = 8 * MAX_FRAME_BYTES
MAX_BACKLOG = 64
_DESCRIPTOR_SPACE = socket.CMSG_SPACE(4)


class FrontGone(Exception):
    """The front closed the channel, broke it, or does not read."""


class Loop(Protocol):
    """The part of an asyncio event loop that a link uses."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def add_writer(self, fd: int, callback: Callable[[], object], /) -> object: ...
    def remove_writer(self, fd: int, /) -> object: ...


def configure(sock: socket.socket) -> None:
    """Must be called on both ends of a data channel: never blocks, and takes several large frames."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)


def send_frame(sock: socket.socket, frame: bytes, fd: int | None = None) -> None:
    """Sends one frame, with a descriptor where there is one; raises OSError as the socket does."""
    if fd is None:
        sock.send(frame)
    else:
        sock.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def receive_with_descriptors(sock: socket.socket, buffer: memoryview) -> tuple[int, list[int], bool]:
    """One packet into `buffer`: its length, the descriptors that came with it, and whether it was cut."""
    size, ancillary, flags, _ = sock.recvmsg_into([buffer], _DESCRIPTOR_SPACE, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return size, list(fds), bool(flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC))


def receive_segment(sock: socket.socket, buffer: memoryview, generation: int) -> tuple[int, int, int]:
    """Takes the SEGMENT frame that follows an ANNOUNCE: its number, descriptor and size.

    Raises ProtocolViolation for anything else, with every received descriptor closed, and OSError as
    the socket does (BlockingIOError: it has not come yet).
    """
    size, fds, was_cut = receive_with_descriptors(sock, buffer)
    try:
        if len(fds) != 1 or was_cut:
            raise ProtocolViolation(f"{len(fds)} descriptors with a segment")
        header = frames.unpack_header(buffer, size, generation)
        if header.kind is not Kind.SEGMENT:
            raise ProtocolViolation(f"a {header.kind.name} frame where a segment was announced")
        frames.check_control(header)
    except ProtocolViolation:
        for fd in fds:
            os.close(fd)
        raise
    return header.detail, fds[0], header.a


class Outbox:
    """Sends frames in order without blocking; what the socket does not take waits here.

    Invariant: at most MAX_BACKLOG batches wait, for `check_room` refuses more; `add_writer` is set
    exactly while something waits.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        generation: int,
        on_drained: Callable[[], None] | None = None,
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._generation = generation
        self._on_drained = on_drained  # told when nothing waits any more
        self._waiting: deque[tuple[bytes, int | None]] = deque()
        self._announced: set[int] = set()

    @property
    def has_waiting(self) -> bool:
        """True while the other end has not taken all that was sent."""
        return bool(self._waiting)

    def check_room(self) -> None:
        """Raises Overloaded while the worker takes nothing and too much waits already."""
        if len(self._waiting) >= MAX_BACKLOG:
            raise Overloaded("the model's worker does not take any more batches", retry_after_s=1.0)

    def send(self, frame: bytes, fd: int | None = None) -> None:
        """Sends now or later. A dead peer is not told here: the reader finds the end of the stream."""
        if self._waiting:
            self._waiting.append((frame, fd))
        elif not self._try_send(frame, fd):
            self._waiting.append((frame, fd))
            self._loop.add_writer(self._fd, self._flush)

    def announce(self, segment: Segment) -> None:
        """Must be called before a frame refers to `segment`; passes its descriptor the first time."""
        if segment.number in self._announced:
            return
        self._announced.add(segment.number)
        number, size = segment.number, segment.size
        self.send(frames.pack_control(Kind.ANNOUNCE, self._generation, number, size))
        self.send(frames.pack_control(Kind.SEGMENT, self._generation, number, size), segment.fd)

    def forget(self, number: int) -> None:
        """Tells the other end that a segment is gone, if it ever knew of it."""
        if number in self._announced:
            self._announced.discard(number)
            self.send(frames.pack_control(Kind.FORGET, self._generation, number))

    def close(self) -> None:
        """Drops whatever waits."""
        if self._waiting:
            self._loop.remove_writer(self._fd)
            self._waiting.clear()

    def _try_send(self, frame: bytes, fd: int | None) -> bool:
        try:
            send_frame(self._sock, frame, fd)
        except BlockingIOError:
            return False
        except OSError:  # the peer is gone: its link learns it by reading, with all that it must tell
            return True
        return True

    def _flush(self) -> None:
        while self._waiting:
            if not self._try_send(*self._waiting[0]):
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._fd)
        if self._on_drained is not None:
            self._on_drained()
