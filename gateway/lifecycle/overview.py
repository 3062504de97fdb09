"""All models at a glance, for people: where each version is, what it takes, and how it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

import msgspec

from gateway.control.questions import IndexEntry
from gateway.core.device import Usage
from gateway.core.model import ModelKey
from gateway.lifecycle.following import Following
from gateway.lifecycle.manager import Lifecycle

Memory = Mapping[ModelKey, Mapping[str, int]]


class VersionOverview(msgspec.Struct, frozen=True):
    """One version.

    `state` is the index's, `phase` the lifecycle's. `memory_bytes` by device; `unused_s` is the time since
    its last request, None where none is remembered.
    """

    version: int
    state: str
    phase: str
    reason: str = ""
    ready: int = 0
    wanted: int = 0
    in_flight: int = 0
    unused_s: float | None = None
    memory_bytes: Mapping[str, int] = {}


class ModelOverview(msgspec.Struct, frozen=True):
    """One model; without a version where it is broken, and `reason` says why."""

    name: str
    labels: Mapping[str, int]
    versions: tuple[VersionOverview, ...]
    reason: str = ""


class Overview:
    """Makes the overview when asked; on the controller's loop."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        following: Following,
        memory: Callable[[], Memory],
        usage: Callable[[ModelKey], Usage],
        clock: Callable[[], float],
    ) -> None:
        self._lifecycle = lifecycle
        self._following = following
        self._memory = memory
        self._usage = usage
        self._clock = clock

    def models(self) -> tuple[ModelOverview, ...]:
        """All, by name."""
        memory, now = self._memory(), self._clock()
        return tuple(
            self._model(name, list(entries), memory, now)
            for name, entries in groupby(self._lifecycle.index(), lambda entry: entry.name)
        )

    def _model(self, name: str, entries: list[IndexEntry], memory: Memory, now: float) -> ModelOverview:
        known = self._following.known(name)
        versions = tuple(self._version(entry, memory, now) for entry in entries if entry.version)
        reason = next((entry.reason for entry in entries if not entry.version), "")
        return ModelOverview(name, {} if known is None else known.labels, versions, reason)

    def _version(self, entry: IndexEntry, memory: Memory, now: float) -> VersionOverview:
        key = ModelKey(entry.name, entry.version)
        version = self._lifecycle.version(key)
        if version is None or version.is_withdrawn:
            return VersionOverview(entry.version, entry.state, "absent", entry.reason)
        usage = self._usage(key)
        return VersionOverview(
            entry.version,
            entry.state,
            "ready" if version.is_ensemble else version.state.value,
            entry.reason,
            version.ready,
            version.wanted,
            usage.in_flight,
            now - usage.last_used_at if usage.last_used_at else None,
            memory.get(key, {}),
        )
