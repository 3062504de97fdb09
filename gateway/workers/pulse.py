"""A worker's sign of life, from a thread of its own: it beats while the engine computes or hangs.

It also ends the process when the controller is gone and the main thread does not notice, because it
is inside the engine: an orphan must be gone within 5 s. Not for a tenant of a shared worker: the end of
its socket says that it is to go, not that the controller has.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable

import msgspec

from gateway.core.clock import Clock
from gateway.runtimes.contract import UpstreamCounts
from gateway.workers.messages import Beat

INTERVAL_S = 1.0
ORPHAN_GRACE_S = 3.0


def _no_upstream() -> UpstreamCounts | None:
    """Most models ask nobody."""
    return None


class Pulse:
    """`busy_since` (0: idle) and `executed` are written while a batch runs and read by this thread."""

    def __init__(self, control: socket.socket, clock: Clock, *, ends_process: bool = True) -> None:
        self.busy_since = 0.0
        self.executed = 0
        self.count_upstream: Callable[[], UpstreamCounts | None] = _no_upstream
        self._control = control
        self._clock = clock
        self._ends_process = ends_process
        self._is_beating = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Watches the controller from now on; must be called after the fork."""
        self._thread.start()

    def beat(self) -> None:
        """Sends a Beat every second from now on: the model is loaded."""
        self._is_beating = True

    def stop(self) -> None:
        """The main thread is ending by itself."""
        self._ended.set()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._control, 0)  # only the end of the stream: packets are the main thread's
        while not poll.poll(INTERVAL_S * 1000):
            if self._ended.is_set():
                return
            if self._is_beating:
                self._send()
        if self._ends_process and not self._ended.wait(ORPHAN_GRACE_S):
            os._exit(1)

    def _send(self) -> None:
        since = self.busy_since
        busy_s = max(0.0, self._clock() - since) if since else 0.0
        beat = Beat(busy_s, self.executed, self.count_upstream())
        try:
            self._control.send(msgspec.msgpack.encode(beat), socket.MSG_DONTWAIT)
        except OSError:
            # A controller that is stuck misses this one beat; one that is gone is seen by the poll.
            return
