"""A transport that writes into memory, with a client that can stop taking bytes."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any


class FakeTransport(asyncio.Transport):
    """Holds what was written; `taking` False keeps bytes unsent and drives the protocol's flow control.

    As uvloop does, it keeps the very buffers it was given until they are sent, calls `pause_writing`
    when more than the high mark is unsent, and `resume_writing` at or below the low mark.
    """

    def __init__(self, *, extra: dict[str, Any] | None = None) -> None:
        super().__init__(extra or {})
        self.sent = bytearray()
        self.unsent: deque[memoryview] = deque()
        self.taking = True
        self.reading = True
        self.closed = False
        self.aborted = False
        self.eof_written = False
        self.closes_on_eof = False  # as most clients do, once they have everything
        self.write_calls = 0
        self._high, self._low = 64 << 10, 16 << 10
        self._paused = False
        self._protocol: Any = None
        self._lost = False

    # ---- what a test does ----

    def take(self, size: int | None = None) -> bytes:
        """Lets the client take `size` unsent bytes (all of them by default); returns these."""
        start = len(self.sent)
        left = self.get_write_buffer_size() if size is None else size
        while left and self.unsent:
            piece = self.unsent.popleft()
            self.sent += piece[:left]
            if len(piece) > left:
                self.unsent.appendleft(piece[left:])
            left -= min(left, len(piece))
        self._after_progress()
        return bytes(self.sent[start:])

    def lose(self, error: Exception | None = None) -> None:
        """The connection breaks: `connection_lost` is called, once."""
        self.closed = True
        self.unsent.clear()
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)

    def taken(self) -> bytes:
        """Everything sent since the last call."""
        data = bytes(self.sent)
        self.sent.clear()
        return data

    # ---- what a protocol sees ----

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self.closed or self.eof_written:
            return
        self.write_calls += 1
        if self.taking and not self.unsent:
            self.sent += data
            return
        self.unsent.append(memoryview(data).cast("B"))
        self._maybe_pause()

    def get_write_buffer_size(self) -> int:
        return sum(len(piece) for piece in self.unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 4 * low if low is not None else 64 << 10
        self._low = low if low is not None else self._high // 4
        self._maybe_pause()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof_written = True
        self._after_progress()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading and not self.closed

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        """Closes once everything is sent, as a real transport does; `lose` then tells the protocol."""
        self.closed = True
        if not self.unsent and self._protocol is not None:
            self.lose()

    def abort(self) -> None:
        self.aborted = True
        self.closed = True
        if self._protocol is not None:
            self.lose(None)

    def _maybe_pause(self) -> None:
        if not self._paused and self.get_write_buffer_size() > self._high:
            self._paused = True
            self._protocol.pause_writing()

    def _after_progress(self) -> None:
        if self._paused and self.get_write_buffer_size() <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if self.eof_written and self.closes_on_eof and not self.unsent and not self.closed:
            self.closed = not self._protocol.eof_received()
        if self.closed and not self.unsent and not self._lost:
            self.lose()


class FakeSocket:
    """The state of a socket as the kernel tells it."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.state = 8  # TCP_CLOSE_WAIT
        self.options: list[tuple[int, int, Any]] = []

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return bytes([self.state])

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self.options.append((level, option, value))
