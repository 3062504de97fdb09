"""What happens to models, told to plugins: bounded, and never in the way of what happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from gateway.core.events import Event
from gateway.hooks.calling import Hook
from gateway.hooks.guarding import drop
from gateway.hooks.tasks import Tasks

log = logging.getLogger("gateway.plugins")


class Notifying:
    """Tells the plugins at the hook `on_event`; None where there is nobody."""

    def __init__(self, hook: Hook | None, loop: asyncio.AbstractEventLoop) -> None:
        self._hook = hook
        self._loop = loop
        self._tasks = Tasks(loop)
        self.dropped = 0

    def notify(self, event: Event) -> None:
        """Tells all in the loop's next turn: what happens must be over before a plugin runs."""
        if self._hook is not None:
            self._loop.call_soon(self._hook.notify, self._later, event)

    def _later(self, work: Awaitable[Any]) -> None:
        if self._tasks.begin_if_room(_awaited(work), "on_event"):
            return
        drop(work)
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # the first, and then ever more seldom
            log.error("plugins take too long to be told of events: %d were not told", self.dropped)


async def _awaited(work: Awaitable[Any]) -> None:
    await work
