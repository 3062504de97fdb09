"""Where the record of each request goes: counters and logs at once, plugins after the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.core.records import RequestRecord
from gateway.hooks.calling import Hook
from gateway.hooks.guarding import drop
from gateway.hooks.tasks import Tasks

Sink = Callable[[RequestRecord], None]


def telling(
    sinks: Sequence[Sink], on_request: Hook | None, loop: asyncio.AbstractEventLoop, tasks: Tasks
) -> Sink:
    """One sink of several; plugins are told in the loop's next turn, and those that are async by tasks."""
    if on_request is None and len(sinks) == 1:
        return sinks[0]

    waiting: list[RequestRecord] = []

    def later(work: Awaitable[Any]) -> None:
        if not tasks.begin_if_room(_awaited(work), "on_request"):
            drop(work)

    def tell(record: RequestRecord) -> None:
        for sink in sinks:
            sink(record)
        if on_request is not None:
            if not waiting:
                loop.call_soon(tell_all, on_request)
            waiting.append(record)

    def tell_all(hook: Hook) -> None:
        records = waiting.copy()
        waiting.clear()
        for record in records:
            hook.notify(later, record)

    return tell


async def _awaited(work: Awaitable[Any]) -> None:
    await work
