"""Looks at the devices now and then, in a thread of its own, and tells of it on the loop.

DESIGN: a driver may take its time or never answer. A thread of the loop's own pool would keep the process
from ending until it does; this one is a daemon, and nobody waits for it.
"""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Protocol

from gateway.devices.inventory import Look

log = logging.getLogger("gateway.devices")


class Looks(Protocol):
    """What can be looked at."""

    def look(self) -> Look: ...


class Watch:
    """Calls `on_look` with each look, on the loop; `start` once, and `close`."""

    def __init__(
        self, inventory: Looks, interval_s: float, loop: AbstractEventLoop, on_look: Callable[[Look], None]
    ) -> None:
        self._inventory = inventory
        self._interval_s = interval_s
        self._loop = loop
        self._on_look = on_look
        self._end = threading.Event()
        self._is_failing = False

    def start(self) -> None:
        """Begins to look, first when the interval has passed."""
        threading.Thread(target=self._run, name="devices", daemon=True).start()

    def close(self) -> None:
        """Looks no more, and calls nobody any more."""
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(self._interval_s):
            try:
                look = self._inventory.look()
            except Exception as error:  # whatever it was, the next look may succeed
                if not self._is_failing:
                    log.error("the devices cannot be looked at; what is known stays", exc_info=error)
                self._is_failing = True
                continue
            self._is_failing = False
            try:
                self._loop.call_soon_threadsafe(self._tell, look)
            except RuntimeError:  # the loop has ended without saying so
                return

    def _tell(self, look: Look) -> None:
        if not self._end.is_set():
            self._on_look(look)
