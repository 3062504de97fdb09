"""What the gateway's processes log, as far as callers may set it; where they log is the operator's."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

TimeFormat = Literal["default", "ISO8601"]


class LogSettings(msgspec.Struct, frozen=True):
    """Which kinds of lines are written; `verbose_level` above 0 adds those for who looks for a fault."""

    info: bool = True
    warning: bool = True
    error: bool = True
    verbose_level: int = 0
    format: TimeFormat = "default"


class LogChange(msgspec.Struct, frozen=True):
    """What is to be another value; None is the operator's own."""

    info: bool | UnsetType | None = UNSET
    warning: bool | UnsetType | None = UNSET
    error: bool | UnsetType | None = UNSET
    verbose_level: int | UnsetType | None = UNSET
    format: TimeFormat | UnsetType | None = UNSET

    def apply(self, settings: LogSettings, own: LogSettings) -> LogSettings:
        """`settings` after this change; `own` are the operator's."""
        given = {
            name: getattr(own, name) if value is None else value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not UNSET
        }
        return msgspec.structs.replace(settings, **given)
