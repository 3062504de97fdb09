"""How many instances of a model there are to be, and for how long without a request; values alone."""

from __future__ import annotations

import re
from math import inf, isfinite
from typing import NamedTuple

import msgspec

# Seconds of each unit that a text may use, as Go's durations do.
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
# A hundred years; beyond it, "-1" is what is meant.
MAX_KEEP_ALIVE_S = 100 * 366 * 86_400.0
FOR_EVER = -1.0
KEEP_ALIVE = "keep_alive"


class ScalePolicy(msgspec.Struct, frozen=True):
    """Bounds and target of a model's instances.

    `min_instances` 0 lets it go to zero; `max_instances` 0 is as many as its instance groups say.
    `keep_alive_s` is how long an unused one stays, None for the gateway's own default, negative for
    ever. `target_concurrency` are the requests an instance is to have at a time, 0 for the default.
    `sleep_s` is how long its weights wait in host memory after that, None and negative likewise.
    A `pinned` one is never put out for another's sake. Where loads wait, it has `weight` turns for one of
    a model of weight 1.
    """

    min_instances: int = 0
    max_instances: int = 0
    keep_alive_s: float | None = None
    target_concurrency: float = 0.0
    pinned: bool = False
    weight: int = 1
    sleep_s: float | None = None


class KeepAlive(NamedTuple):
    """How long a request asked for its model to be kept, and when, by the clock all processes share."""

    seconds: float
    asked_at: float


def parse_keep_alive(value: object) -> float:
    """Seconds of 30, 1.5, "90", "10m", "1h30m" or "250ms"; FOR_EVER for anything negative.

    Raises ValueError with what is permitted.
    """
    seconds = _seconds(value)
    if seconds is None or not isfinite(seconds) or seconds > MAX_KEEP_ALIVE_S:
        raise ValueError('must be seconds, or a text such as "90", "10m" or "1h30m"; negative is for ever')
    return FOR_EVER if seconds < 0 else seconds


def longest(one_s: float, other_s: float) -> float:
    """The longer of two times to be kept, of which FOR_EVER is longer than any."""
    return FOR_EVER if one_s < 0 or other_s < 0 else max(one_s, other_s)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return float(value) if abs(value) <= MAX_KEEP_ALIVE_S else inf
    text = value.strip()
    if len(text) > 32:
        return None
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
