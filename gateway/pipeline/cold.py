"""Who waits for a model to load: bounded, deadline-aware, failed together with one cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.core.errors import DeadlineExceeded, GatewayError, ModelLoading, Overloaded

_TOO_LATE = "Request timeout expired while the model was loading"


class Waiting(Protocol):
    """Something that can go on once the model is there."""

    deadline: float

    @property
    def is_open(self) -> bool:
        """False once nobody waits for it any more."""

    def fail(self, error: GatewayError) -> None:
        """It will not go on."""


class ColdWaiters:
    """The waiters of one model version.

    Invariant: each waiter is continued or failed once, or has closed itself; a waiter's own end does
    not end the load, for others may be waiting and the next call will come.
    """

    def __init__(self, limit: int, wait_s: float) -> None:
        self._limit = limit
        self._wait_s = wait_s
        self._waiters: dict[Waiting, tuple[float, Callable[[], None]]] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: Waiting, go_on: Callable[[], None], now: float) -> None:
        """Waits at the longest `wait_s`; raises Overloaded where too many do already."""
        if len(self._waiters) >= self._limit:
            self._forget_closed()
        if len(self._waiters) >= self._limit:
            raise Overloaded("too many requests wait for this model to load", retry_after_s=1.0)
        self._waiters[waiter] = (now + self._wait_s, go_on)

    def release(self, now: float) -> None:
        """The model is there: everyone goes on, in the order they came, but for those who are too late."""
        for waiter, (_, go_on) in self._take_all():
            if not waiter.is_open:
                continue
            if waiter.deadline <= now:
                waiter.fail(DeadlineExceeded(_TOO_LATE))
            else:
                go_on()

    def fail(self, error: GatewayError) -> None:
        """The load failed: everyone fails with the one cause."""
        for waiter, _ in self._take_all():
            waiter.fail(error)

    def sweep(self, now: float) -> None:
        """Fails those whose own deadline, or whose longest wait for a load, is over."""
        for waiter, (until, _) in list(self._waiters.items()):
            if not waiter.is_open:
                del self._waiters[waiter]
            elif waiter.deadline <= now:
                del self._waiters[waiter]
                waiter.fail(DeadlineExceeded(_TOO_LATE))
            elif until <= now:
                del self._waiters[waiter]
                waiter.fail(ModelLoading("the model is still loading", retry_after_s=5.0))

    def _take_all(self) -> list[tuple[Waiting, tuple[float, Callable[[], None]]]]:
        taken = list(self._waiters.items())
        self._waiters.clear()
        return taken

    def _forget_closed(self) -> None:
        self._waiters = {waiter: entry for waiter, entry in self._waiters.items() if waiter.is_open}
