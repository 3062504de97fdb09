"""One packet, one message: typed msgpack over a SOCK_SEQPACKET pair, descriptors included.

DESIGN: sequenced packets keep message borders, arrive in order and carry descriptors (SCM_RIGHTS)
with exactly the message they belong to, which a byte stream does not. Sending never blocks and never
waits: what the kernel does not take is queued, and a peer that lets the queue fill is given up,
because a control plane with a stuck peer must not grow without bound.
"""

from __future__ import annotations

import asyncio
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

# The kernel's default send buffer is 212,992 bytes and a packet must fit into it whole.
MAX_PACKET_BYTES = 128 << 10
MAX_FDS = 16
MAX_QUEUED_PACKETS = 4096
MAX_QUEUED_BYTES = 64 << 20
# Packets taken per wake-up, so that one talkative peer cannot hold the loop.
_READ_BURST = 32

_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_FDS * array("i").itemsize)

Received = TypeVar("Received")


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected, non-inheritable, blocking SOCK_SEQPACKET sockets; the caller closes both."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class ControlChannel(Generic[Received]):
    """One end of a control connection on the running event loop; owns `sock`.

    `on_message(message, fds)` gets each packet and owns its descriptors. `on_closed(reason)` is called
    once if the peer goes away or breaks the protocol (reason "" for a plain end of the stream), never
    after `close`, and never from within `send`.
    """

    def __init__(
        self,
        sock: socket.socket,
        decoder_type: Any,  # a Union of Structs has no type that the checker could name
        on_message: Callable[[Received, tuple[int, ...]], None],
        on_closed: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._decode: Callable[[bytes], Received] = msgspec.msgpack.Decoder(decoder_type).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._on_message = on_message
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        # Invariant: _queued_bytes == sum(len(packet) for packet, _ in _queue); a writer is registered
        # exactly while _queue is not empty.
        self._queue: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._queued_bytes = 0
        self._open = True
        self._loop.add_reader(self._fd, self._on_readable)

    @property
    def is_open(self) -> bool:
        """False once closed by either side."""
        return self._open

    @property
    def queued_bytes(self) -> int:
        """Bytes the kernel has not taken yet."""
        return self._queued_bytes

    def send(self, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Sends or queues one message and takes `fds` over: they are closed here once sent, or lost.

        Raises ValueError for a message that no packet can hold. Does nothing on a closed channel.
        """
        packet = self._encode(message)
        owned = tuple(fds)
        if not self._open or len(packet) > MAX_PACKET_BYTES or len(owned) > MAX_FDS:
            _close_all(owned)
            if self._open:
                raise ValueError(f"a packet of {len(packet)} bytes and {len(owned)} descriptors is too large")
            return
        if self._queue or not self._transmit(packet, owned):
            self._enqueue(packet, owned)

    def close(self) -> None:
        """Ends the connection; what is still queued is dropped; `on_closed` is not called any more."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        if self._queue:
            self._loop.remove_writer(self._fd)
        for _, fds in self._queue:
            _close_all(fds)
        self._queue.clear()
        self._queued_bytes = 0
        self._sock.close()

    def check(self) -> None:
        """Asserts the invariants."""
        assert self._queued_bytes == sum(len(packet) for packet, _ in self._queue)
        assert self._open or not self._queue

    # ---- sending ---------------------------------------------------------------------------------

    def _transmit(self, packet: bytes, fds: tuple[int, ...]) -> bool:
        """True if nothing is left to do about the packet: the kernel has it, or the peer is gone."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([packet], ancillary)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            # The end of the stream is seen by the reader as well, after whatever the peer still said.
            if not isinstance(error, (BrokenPipeError, ConnectionResetError)):
                self._loop.call_soon(self._fail, f"cannot send: {error.strerror}")
        _close_all(fds)
        return True

    def _enqueue(self, packet: bytes, fds: tuple[int, ...]) -> None:
        if len(self._queue) >= MAX_QUEUED_PACKETS or self._queued_bytes + len(packet) > MAX_QUEUED_BYTES:
            _close_all(fds)
            self._loop.call_soon(self._fail, "the peer does not read")
            return
        if not self._queue:
            self._loop.add_writer(self._fd, self._on_writable)
        self._queue.append((packet, fds))
        self._queued_bytes += len(packet)

    def _on_writable(self) -> None:
        while self._queue:
            packet, fds = self._queue[0]
            if not self._transmit(packet, fds):
                return
            self._queue.popleft()
            self._queued_bytes -= len(packet)
        self._loop.remove_writer(self._fd)

    # ---- receiving -------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        for _ in range(_READ_BURST):
            if not self._open or not self._receive():
                return

    def _receive(self) -> bool:
        """Takes one packet; False when there is none."""
        try:
            packet, ancillary, flags, _ = self._sock.recvmsg(
                MAX_PACKET_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._fail("" if isinstance(error, ConnectionResetError) else f"cannot receive: {error.strerror}")
            return False
        fds = _descriptors(ancillary)
        if not packet or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close_all(fds)
            self._fail("a packet was too large" if packet else "")
            return False
        self._dispatch(packet, fds)
        return True

    def _dispatch(self, packet: bytes, fds: tuple[int, ...]) -> None:
        try:
            message = self._decode(packet)
        except msgspec.MsgspecError as error:
            _close_all(fds)
            self._fail(f"a packet was not understood: {error}")
            return
        self._on_message(message, fds)

    def _fail(self, reason: str) -> None:
        if self._open:
            self.close()
            self._on_closed(reason)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
