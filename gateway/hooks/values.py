"""What hooks take and give beside the values of core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gateway.core.clock import Clock

Headers = tuple[tuple[bytes, bytes], ...]
# Called once at the end of what it was returned for; must not fail, and never waits.
Release = Callable[[], None]


# Whether a request for the model and version (a number, a label, 0) could be answered, be it after a load.
IsUp = Callable[[str, int | str], bool]


def everything_is_up(model: str, version: int | str) -> bool:
    """What is known where nobody knows better: in the controller, and before there are models."""
    return True


class Start(NamedTuple):
    """What a plugin is told when it is made: in which process it is, and what time it is there.

    `clock` is monotonic, `wall` since 1970, both in seconds; tests give their own.
    """

    process: str
    clock: Clock
    wall: Clock
    is_up: IsUp = everything_is_up


class Target(NamedTuple):
    """A model to ask; `version` 0 is the one that answers for it, a text one of its labels."""

    model: str
    version: int | str = 0


@runtime_checkable
class Changeable(Protocol):
    """A plugin whose settings may change while it runs, by the admin API: in the controller and every front.

    So its hooks must not depend on settings in `unused` or `direct`.
    """

    def document(self) -> dict[str, Any]:
        """Its settings as they are now; JSON."""

    def tag(self) -> str:
        """A text that differs whenever the settings do, and is the same in every process."""

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes over whole new settings; raises ValueError for those that fit nothing, and keeps the old."""
