"""What telemetry is told of loads and deaths: frozen values through one injected callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from gateway.core.model import ModelKey


class InstanceLoaded(msgspec.Struct, frozen=True):
    """An instance is ready: seconds it waited for a slot, from then to ready, and the worker's own phases.

    `note` is what there is to say of how that one of its instances runs.
    """

    key: ModelKey
    queued_s: float
    load_s: float
    phases_s: Mapping[str, float]
    instance: int = 0
    note: str = ""


class FellAsleep(msgspec.Struct, frozen=True):
    """A model has left a device; its weights have `held_bytes` of host memory."""

    key: ModelKey
    device: str
    held_bytes: int


class FirstInference(msgspec.Struct, frozen=True):
    """The first batch of an instance took so long: engines put off what only some models need."""

    key: ModelKey
    seconds: float


class InstanceFailed(msgspec.Struct, frozen=True):
    """An instance could not be loaded."""

    key: ModelKey
    reason: str


class WorkerDied(msgspec.Struct, frozen=True):
    """A worker ended unasked; `end` says how, `then` what follows."""

    key: ModelKey
    end: str
    then: Literal["restart", "quarantine"]


class InstanceEvicted(msgspec.Struct, frozen=True):
    """An instance, unused for so long, makes room on its device."""

    key: ModelKey
    device: str
    unused_s: float


Fact = InstanceLoaded | FellAsleep | FirstInference | InstanceFailed | WorkerDied | InstanceEvicted
Tell = Callable[[Fact], None]
