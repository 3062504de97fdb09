"""The models as this front knows them: the last snapshot, and where a request for each would go.

Resolved when a snapshot or an instance arrives, not per request: `route` is one dict lookup.
"Latest" is the highest version that can answer now; while there is none, the highest that is not
known to fail. A newer version than the one that answers is its `successor`: the first request for the
latest wakes it, and it takes over once it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.control.messages import ModelView, Snapshot, VersionView
from gateway.control.views import unshared
from gateway.core.model import BatchPolicy, ModelKey, ModelSpec
from gateway.pipeline.cold import ColdWaiters
from gateway.pipeline.ensemble import Ensemble
from gateway.repository.dynamic_batching import written_batching
from gateway.scheduling.queues import Queue


class VersionSlot:
    """One served version in this front.

    Invariant: `hot` is `queue` while it has instances, else None. An ensemble has neither: `ensemble` is
    what runs it, made from its view by the first request.
    """

    __slots__ = (
        *("broken", "ensemble", "hot", "is_asked_for", "key", "queue", "retry_at", "successor"),
        *("view", "waiters"),
    )

    def __init__(self, key: ModelKey, view: VersionView, waiters: ColdWaiters) -> None:
        self.key = key
        self.view = view
        self.waiters = waiters
        self.queue: Queue | None = None
        self.hot: Queue | None = None
        self.retry_at = 0.0
        self.broken = ""
        self.is_asked_for = False
        self.successor: VersionSlot | None = None
        self.ensemble: Ensemble | None = None

    @property
    def spec(self) -> ModelSpec | None:
        """The signature, as far as it is known without loading."""
        if self.queue is not None and self.view.ensemble is None:
            return self.queue.spec
        return self.view.spec

    @property
    def is_there(self) -> bool:
        """True while a request for it need not wait for a load (of its own)."""
        return self.hot is not None or self.view.ensemble is not None

    @property
    def batching(self) -> BatchPolicy:
        """How its requests batch and wait: that stands in the configuration, and no load changes it."""
        spec = self.spec
        return written_batching(self.view.config) if spec is None else spec.batching

    @property
    def trouble(self) -> str:
        """Why none of its instances can answer now, by their own word; "" where one can, or none is there."""
        return "" if self.hot is None else self.hot.trouble

    def is_failing(self, now: float) -> bool:
        """True while a request for it would be refused because it is known not to load."""
        return bool(self.broken) or (self.view.state == "failed" and now < self.retry_at)


class Catalogue:
    """All models by name; owns the slots."""

    def __init__(self, max_waiters: int, cold_wait_s: float) -> None:
        self._max_waiters = max_waiters
        self._cold_wait_s = cold_wait_s
        self._models: dict[str, dict[int, VersionSlot]] = {}
        self._broken: dict[str, str] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        self._routes: dict[tuple[str, int | str], VersionSlot] = {}
        self._routed: dict[str, list[int | str]] = {}  # the versions and labels of each model in _routes
        self.route = self._routes.get
        self.number = 0
        self.is_complete = False

    def apply(self, snapshot: Snapshot, now: float) -> tuple[list[VersionSlot], list[VersionSlot]]:
        """Takes a step over; returns the slots that changed and those that are gone."""
        self.number = snapshot.number
        changed: list[VersionSlot] = []
        gone: list[VersionSlot] = []
        for name in snapshot.removed:
            gone += self._models.pop(name, {}).values()
            self._broken.pop(name, None)
            self._labels.pop(name, None)
            self._forget_routes(name)
        for view in snapshot.changed:
            kept, lost = self._merge(unshared(view), now)
            changed += kept
            gone += lost
            self.resolve(view.name, now)
        self.is_complete = self.is_complete or snapshot.complete
        return changed, gone

    def _merge(self, view: ModelView, now: float) -> tuple[list[VersionSlot], list[VersionSlot]]:
        known = self._models.get(view.name, {})
        slots: dict[int, VersionSlot] = {}
        for version in view.versions:
            key = ModelKey(view.name, version.version)
            slot = known.get(version.version)
            if slot is None:
                slot = VersionSlot(key, version, ColdWaiters(self._max_waiters, self._cold_wait_s))
            slot.view = version
            slot.broken = view.broken
            slot.retry_at = now + version.retry_in_s
            slots[version.version] = slot
        self._models[view.name] = slots
        self._broken[view.name] = view.broken
        self._labels[view.name] = view.labels
        return list(slots.values()), [slot for number, slot in known.items() if number not in slots]

    def resolve(self, name: str, now: float) -> None:
        """Must be called when an instance of `name` came or went."""
        self._forget_routes(name)
        slots = self._models.get(name, {})
        for version, slot in slots.items():
            slot.successor = None
            self._routes[name, version] = slot
        latest = _latest(slots, now)
        if latest is not None:
            self._routes[name, 0] = latest
            named = {label: slots[number] for label, number in self.labels(name).items() if number in slots}
            for label, slot in named.items():
                self._routes[name, label] = slot
            self._routed[name] = [0, *slots, *named]

    def _forget_routes(self, name: str) -> None:
        for version in self._routed.pop(name, ()):
            del self._routes[name, version]

    def knows(self, name: str) -> bool:
        """True for a model in the repository, even a broken one."""
        return name in self._models

    def broken(self, name: str) -> str:
        """Why a known model has nothing to serve, or ""."""
        return self._broken.get(name, "")

    def labels(self, name: str) -> Mapping[str, int]:
        """The labels of a model and the versions they name, served or not."""
        return self._labels.get(name, {})

    def versions(self, name: str) -> tuple[int, ...]:
        """The served versions, ascending."""
        return tuple(sorted(self._models.get(name, ())))

    def slot(self, key: ModelKey) -> VersionSlot | None:
        """The slot of one version."""
        return self._models.get(key.name, {}).get(key.version)

    def keys(self, name: str, version: int | str) -> tuple[ModelKey, ...]:
        """The served versions that are meant, in order: of one model where `version` is 0, of all for ""."""
        if version:
            slot = self.route((name, version))
            return () if slot is None else (slot.key,)
        names = (name,) if name else sorted(self._models)
        return tuple([ModelKey(one, number) for one in names for number in self.versions(one)])

    def slots(self) -> Iterator[VersionSlot]:
        """Every slot."""
        for versions in self._models.values():
            yield from versions.values()


def _latest(slots: dict[int, VersionSlot], now: float) -> VersionSlot | None:
    if not slots:
        return None
    descending = [slots[version] for version in sorted(slots, reverse=True)]
    highest = next((slot for slot in descending if not slot.is_failing(now)), descending[0])
    hot = next((slot for slot in descending if slot.is_there), None)
    if hot is None:
        return highest
    if highest.key.version > hot.key.version:
        hot.successor = highest
    return hot
