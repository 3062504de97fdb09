"""What a queue needs of its surroundings: an event loop's two calls, and somebody to tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class InstanceEvents(Protocol):
    """Who is told about instances that cannot be used any more."""

    def on_suspect(self, worker_id: int, reason: str) -> None:
        """It answered against its model's signature."""

    def on_lost(self, worker_id: int, reason: str) -> None:
        """It is gone, or broke the protocol; the queue has forgotten it."""


class Timer(Protocol):
    """What an event loop gives for a later call."""

    def cancel(self) -> None:
        """The call is not made."""


class Loop(Protocol):
    """The two calls of an event loop that a queue needs."""

    def call_soon(self, callback: Callable[[], object]) -> object:
        """After the I/O of this turn."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """In `delay` seconds."""
