"""The one event loop of a worker, for models with coroutines; made when the first one comes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any


class WorkerLoop:
    """Turns only inside `settle`: what a model leaves running goes on with its next coroutine."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def settle(self, value: Any) -> Any:
        """`value`, or what it comes to where it can be awaited; blocks until then."""
        if not inspect.isawaitable(value):
            return value
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_wait(value))

    def close(self) -> None:
        """Must be called last; cancels what still runs."""
        if self._loop is None:
            return
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self._loop = None


async def _wait(value: Awaitable[Any]) -> Any:
    return await value
