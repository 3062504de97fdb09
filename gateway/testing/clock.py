"""The time of a test."""

from __future__ import annotations

from gateway.core.clock import Clock
from gateway.hooks.values import Start

EPOCH_S = 1_700_000_000.0


class ManualClock:
    """A Clock that stands until it is moved; in seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Moves it on."""
        self.now += seconds


def start(process: str = "front", clock: Clock | None = None, wall: Clock | None = None) -> Start:
    """What a plugin is told when it is made."""
    return Start(process, clock or ManualClock(), wall or ManualClock(EPOCH_S))
