"""What a version works with: workers, fronts, time, chance, and somebody to tell; all of it injected."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from gateway.core.clock import Clock
from gateway.core.model import ModelKey
from gateway.lifecycle.facts import Tell
from gateway.lifecycle.load_slots import LoadGate
from gateway.workers.messages import Loaded, LoadFailed, ToWorker
from gateway.workers.settings import WorkerSettings
from gateway.workers.supervisor import Exit


class Worker(Protocol):
    """A worker as a version holds it."""

    @property
    def id(self) -> int: ...

    @property
    def pid(self) -> int | None: ...

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None: ...

    def stop(self, grace_s: float) -> None: ...

    def terminate(self, reason: str = "") -> None: ...

    def kill(self, reason: str = "") -> None: ...


class Workers(Protocol):
    """Makes workers."""

    def spawn(
        self, on_message: Callable[[Loaded | LoadFailed], None], on_exit: Callable[[Exit], None]
    ) -> Worker: ...


class Connections(Protocol):
    """Connects workers to fronts."""

    def attach(self, worker: Worker, key: ModelKey, inline: bytes = b"") -> None: ...

    def detach(self, worker: int, on_detached: Callable[[], None]) -> None: ...

    def forget(self, worker: int) -> None: ...


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """Makes things happen later (an asyncio loop does)."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


class Means(NamedTuple):
    """What every version works with."""

    settings: WorkerSettings
    workers: Workers
    connections: Connections
    gate: LoadGate
    timers: Timers
    clock: Clock
    rng: Random
    tell: Tell
