"""Ends a plugin that blocks the event loop.

DESIGN: synchronous plugins run on the loop, for a hop to a thread and back costs more than most of them
(50 us against 2). So one that hangs would hang the process. A thread looks every few hundredths of a second
whether the call that it saw last is still running, and sends the main thread a signal then; its handler
raises `Hung` in the plugin, also out of a sleep or a read. What cannot be ended is code in C that never
comes back to the interpreter; that is what processes are for. Cost of a watched call: two assignments.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNAL = signal.SIGUSR2


class Hung(BaseException):
    """Raised in a plugin that has blocked for too long; no Exception, so that it is not caught by chance."""


class Watch:
    """Used as a context by whoever runs the loop; must be entered in the main thread.

    `running` is the number of the call under way, 0 for none: set by `begin`, and back by the caller.
    """

    def __init__(self, limit_s: float) -> None:
        self.running = 0
        self._last = 0
        self._limit_s = limit_s
        self._condemned = 0
        self._over = threading.Event()
        self._looker = threading.Thread(target=self._look, name="plugin-watch", daemon=True)
        self._main = threading.get_ident()

    def begin(self) -> int:
        """A call begins: what `running` is to be again when it has ended."""
        outer = self.running
        self._last += 1
        self.running = self._last
        return outer

    def __enter__(self) -> Watch:
        signal.signal(_SIGNAL, self._end)
        self._looker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looker.join()
        signal.signal(_SIGNAL, signal.SIG_IGN)

    def _look(self) -> None:
        last = 0
        while not self._over.wait(self._limit_s):
            now = self.running
            if now and now == last:
                self._condemned = now
                signal.pthread_kill(self._main, _SIGNAL)
            last = now

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.running and self.running == self._condemned:
            raise Hung
