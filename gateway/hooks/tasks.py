"""What a process does for its plugins beside callbacks: tasks that somebody holds until they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("gateway.plugins")

# Of facts told to plugins that take their time; more are dropped, as the hook says.
MAX_BACKGROUND = 1000


class Tasks:
    """Invariant: every task begun here is in `_running` until it has ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Runs `work`, which must handle its own errors."""
        task = self._loop.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def begin_if_room(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        """As `begin`, but drops `work` and says so where too much is under way."""
        if len(self._running) >= MAX_BACKGROUND:
            work.close()
            return False
        self.begin(work, name)
        return True

    async def aclose(self) -> None:
        """Cancels what is under way, and waits for its end."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the task '%s' failed", task.get_name(), exc_info=error)
