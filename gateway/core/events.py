"""Something that happened to models, as whoever is to be notified is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Event(NamedTuple):
    """`kind` is one of KINDS; `data` what is known of it beside the model and version it happened to."""

    kind: str
    model: str
    version: int
    data: Mapping[str, int | float | str]


KINDS = ("model_loaded", "model_asleep", "model_load_failed", "model_evicted", "worker_died")
