"""Which requests are traced, and how: what callers may set, for all models and for one.

A model inherits what it was not given from the settings of all models, and those from the operator's.
Where traces are written is the operator's alone and no part of this.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Level = Literal["TIMESTAMPS", "TENSORS"]
LEVELS: tuple[Level, ...] = ("TIMESTAMPS", "TENSORS")


class TraceSettings(msgspec.Struct, frozen=True):
    """No `levels` is off. One request of `rate` is traced, `count` of them (-1: without end).

    `log_frequency` is the number of traces a file may hold, 0 for any.
    """

    levels: tuple[Level, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0


class TraceChange(msgspec.Struct, frozen=True):
    """What is to be another value; None takes one back, so that it is inherited."""

    levels: tuple[Level, ...] | UnsetType | None = UNSET
    rate: int | UnsetType | None = UNSET
    count: int | UnsetType | None = UNSET
    log_frequency: int | UnsetType | None = UNSET


class TraceValues(msgspec.Struct, frozen=True):
    """What was set of one model, or of all; None is inherited."""

    levels: tuple[Level, ...] | None = None
    rate: int | None = None
    count: int | None = None
    log_frequency: int | None = None

    def changed(self, change: TraceChange) -> TraceValues:
        """These values after `change`."""
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        return msgspec.structs.replace(self, **given)

    def over(self, inherited: TraceSettings) -> TraceSettings:
        """The settings these values make where the rest is `inherited`."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(inherited, **given)
