"""One call of a worker's model, as the model holds it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Protocol

from gateway.model import CallFailed
from gateway.runtimes.calls import Answer


class Channel(Protocol):
    """The channel for calls, as one of its calls needs it."""

    def wait(self, call: ChannelCall) -> None:
        """Returns when `call` has news."""

    async def wait_async(self, call: ChannelCall) -> None:
        """The same on the running event loop."""

    def take(self, call: ChannelCall) -> Answer | None:
        """The next answer of a call that has news; raises CallFailed."""

    def give_up(self, call: ChannelCall) -> None:
        """Nobody waits for more answers to `call`."""


class ChannelCall:
    """Implements calls.Call. All is under the channel's lock; `answers` come with their cost."""

    def __init__(self, channel: Channel, number: int) -> None:
        self.number = number
        self.answers: deque[tuple[Answer, int]] = deque()
        self.failure: CallFailed | None = None
        self.is_over = False  # no more answers come
        self.taken = 0  # bytes that the front has not been told of
        self.waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._channel = channel

    @property
    def has_news(self) -> bool:
        """True where taking the next answer need not wait."""
        return bool(self.answers) or self.is_over

    def wait(self) -> Answer | None:
        """See calls.Call."""
        self._channel.wait(self)
        return self._channel.take(self)

    async def wait_async(self) -> Answer | None:
        """See calls.Call."""
        await self._channel.wait_async(self)
        return self._channel.take(self)

    def close(self) -> None:
        """See calls.Call."""
        if not self.is_over:
            self._channel.give_up(self)

    def end(self, failure: CallFailed | None) -> None:
        """With the lock held: no more answers come."""
        self.failure = failure
        self.is_over = True
        self.wake()

    def wake(self) -> None:
        """With the lock held: the coroutine that waits goes on."""
        if self.waiter is not None:
            loop, future = self.waiter
            self.waiter = None
            with suppress(RuntimeError):  # its loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
