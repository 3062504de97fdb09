"""What hooks take and give beside the values of core."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.clock import Clock

Headers = tuple[tuple[bytes, bytes], ...]
# Called once at the end of what it was returned for; must not fail, and never waits.
Release = Callable[[], None]


class Start(NamedTuple):
    """What a plugin is told when it is made: in which process it is, and what time it is there.

    `clock` is monotonic, `wall` since 1970, both in seconds; tests give their own.
    """

    process: str
    clock: Clock
    wall: Clock


class Target(NamedTuple):
    """A model to ask; `version` 0 is the one that answers for it, a text one of its labels."""

    model: str
    version: int | str = 0
