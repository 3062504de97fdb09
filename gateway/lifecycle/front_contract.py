"""What fronts and the rest of the controller are to each other: Protocols, and how many fronts there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.control.messages import Answered, Ask, Demand, ToFront
from gateway.core.model import ModelKey
from gateway.workers.messages import ToWorker
from gateway.workers.restart import RestartPolicy

FRONT = "gateway.front"

# Takes an answer, and the descriptors that go with it.
Reply = Callable[[Answered, tuple[int, ...]], None]
# Takes what a front is to be told, and the descriptors that go with it.
Send = Callable[[ToFront, tuple[int, ...]], None]


class FrontQuestions(Protocol):
    """Answers what fronts ask."""

    def on_ask(self, ask: Ask, fds: tuple[int, ...], reply: Reply) -> None:
        """Must call `reply` once, now or later (harmless when the front is gone); owns `fds`."""


class FrontEvents(Protocol):
    """What fronts ask for."""

    def on_activate(self, key: ModelKey, wait_s: float) -> None:
        """Somebody waits for this version."""

    def on_suspect(self, worker: int, reason: str) -> None:
        """A worker broke the protocol or does not answer."""


class FrontTelemetry(Protocol):
    """What fronts have counted."""

    def on_counters(self, front: int, data: bytes) -> None:
        """The newest report of a front."""

    def on_demand(self, front: int, demand: Demand) -> None:
        """How a front's models were used since it said so last."""

    def on_front_died(self, front: int) -> None:
        """The next report of this index starts from zero."""


class Reachable(Protocol):
    """A worker as far as fronts are connected to it."""

    @property
    def id(self) -> int: ...

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None:
        """Sends at once; takes `fds` over."""


class FrontSettings(msgspec.Struct, frozen=True):
    """How many, how to start one, and how to restart it."""

    count: int
    module: str = FRONT
    policy: RestartPolicy = RestartPolicy()
    start_timeout_s: float = 30.0
