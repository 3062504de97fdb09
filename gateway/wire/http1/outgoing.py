"""The sending half of a connection: who waits until the client has taken what was written."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

from gateway.wire.half_closed import is_gone
from gateway.wire.http1.deadlines import PROBE_AFTER_S, WriteProgress
from gateway.wire.http1.encoding import CONTINUE

LOG = logging.getLogger(__name__)

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s


class Outgoing:
    """Watches a transport's unsent bytes.

    Invariant: while `_waiting` is not empty the transport's high mark is 0, so that it reports when the
    last byte has left; else it is `write_buffer_bytes`.
    """

    __slots__ = ("_limit", "_probed", "_progress", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, write_buffer_bytes: int) -> None:
        self._transport = transport
        self._limit = write_buffer_bytes
        self._waiting: list[Callable[[], None]] = []
        self._progress = WriteProgress()
        self._probed = False
        transport.set_write_buffer_limits(write_buffer_bytes)

    def call_when_written(self, on_written: Callable[[], None]) -> None:
        """`on_written` is called once nothing written so far is needed any more."""
        if self._transport.is_closing() or not self._transport.get_write_buffer_size():
            on_written()
            return
        self._waiting.append(on_written)
        if len(self._waiting) == 1:
            self._transport.set_write_buffer_limits(0)

    def drained(self) -> None:
        """Must be called from `resume_writing`."""
        self._progress.drained()
        if self._waiting and not self._transport.get_write_buffer_size():
            self._release()
            if not self._transport.is_closing():
                self._transport.set_write_buffer_limits(self._limit)

    def lost(self) -> None:
        """Must be called when the connection is lost: then nothing is needed any more either."""
        self._release()

    def is_stuck(self, now: float, timeout_s: float) -> bool:
        """True when the client has taken nothing for longer than `timeout_s` though bytes wait for it."""
        return self._progress.is_stuck(now, self._transport.get_write_buffer_size(), timeout_s)

    @property
    def is_sending(self) -> bool:
        """True when bytes waited for the client at the last look of `is_stuck`."""
        return self._progress.unsent > 0

    def reset_on_close(self) -> None:
        """Makes the coming close a reset, for answers whose end is the end of the connection."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def has_reader(self, silent_s: float, *, may_probe: bool) -> bool:
        """False once a client that sent its end-of-stream `silent_s` ago turns out to be gone."""
        if may_probe and not self._probed and silent_s >= PROBE_AFTER_S:
            self._probed = True
            self._transport.write(CONTINUE)
        return not is_gone(self._transport)

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for on_written in waiting:
            try:
                on_written()
            except Exception:
                LOG.exception("what waited for an answer to be written failed")
