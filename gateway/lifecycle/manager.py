"""All versions of all models: what the repository offers becomes versions, what happens to them views."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import msgspec

from gateway.control.messages import ModelView
from gateway.control.views import shared
from gateway.core.model import ModelKey
from gateway.lifecycle.disappearance import believe
from gateway.lifecycle.means import Means
from gateway.lifecycle.offers import Catalogue, Offer
from gateway.lifecycle.version import Version

log = logging.getLogger("gateway.lifecycle")


class Views(Protocol):
    """Takes what has changed in the world, on its way to the fronts."""

    def publish(self, changed: tuple[ModelView, ...], removed: tuple[str, ...] = ()) -> None:
        """These models are new or different, those are gone (perhaps never told of)."""


class LifecycleStatistics(msgspec.Struct, frozen=True):
    """How many versions are in which state, and the loads under way."""

    versions: Mapping[str, int]
    loading: int
    waiting: int


class Lifecycle:
    """Owns every Version; told of the repository (`reconcile`) and of the fronts' wishes."""

    def __init__(self, means: Means, views: Views) -> None:
        self._means = means
        self._views = views
        self._versions: dict[ModelKey, Version] = {}
        # Invariant: the same versions, by model, so that one model's view costs its own versions only.
        self._models: dict[str, dict[int, Version]] = {}
        self._is_published = False
        self._broken: Mapping[str, str] = {}
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._doubted: frozenset[ModelKey] = frozenset()
        # While not None: names whose views are published when the whole reconciliation is through.
        self._dirty: set[str] | None = None

    def reconcile(self, catalogue: Catalogue) -> None:
        """Makes the versions those of `catalogue`; what is new starts absent, what is gone is drained."""
        offers = self._keeping_served(catalogue)
        current = frozenset(key for key, version in self._versions.items() if not version.is_withdrawn)
        belief = believe(current, offers, self._doubted)
        if belief.doubted:
            log.warning(
                "%d of %d versions are gone at once: not believed yet", len(belief.doubted), len(current)
            )
        self._doubted = belief.doubted
        old, self._broken = self._broken, catalogue.broken
        # A set, so that whatever changes below is published once.
        labels = self._keeping_labels(catalogue)
        dirty = _differing(old, self._broken) | _differing(self._labels, labels)
        self._labels = labels
        self._dirty = dirty
        for key in belief.gone:
            dirty.add(key.name)
            self._versions[key].withdraw()
        for key, offer in catalogue.offers.items():
            self._take(key, offer, dirty)
        self._dirty = None
        if dirty or not self._is_published:
            self._publish(dirty)

    def on_activate(self, key: ModelKey, wait_s: float) -> None:
        """Somebody waits for `key`; unknown ones and repetitions are harmless."""
        if version := self._versions.get(key):
            version.activate()

    def on_suspect(self, worker: int, reason: str) -> None:
        """A front cannot rely on `worker`: it is replaced."""
        for version in self._versions.values():
            if worker in version.workers:
                version.suspect(worker, reason)
                return

    def close(self) -> None:
        """Must be called before the workers are stopped: nothing is started or published any more."""
        for version in self._versions.values():
            version.close()

    def states(self) -> dict[tuple[str, int], str]:
        """The state of every version, by name and number."""
        return {
            (key.name, key.version): "ready" if version.is_ensemble else version.state.value
            for key, version in self._versions.items()
        }

    def statistics(self) -> LifecycleStatistics:
        """What there is now."""
        states = Counter(version.state.value for version in self._versions.values())
        return LifecycleStatistics(states, self._means.gate.running, self._means.gate.waiting)

    def check(self) -> None:
        """Asserts the invariants."""
        self._means.gate.check()
        assert sum(map(len, self._models.values())) == len(self._versions)
        for version in self._versions.values():
            version.check()
            assert not version.is_over

    def _take(self, key: ModelKey, offer: Offer, dirty: set[str]) -> None:
        version = self._versions.get(key)
        if version is None:
            version = Version(offer, self._means, self._on_change)
            self._versions[key] = self._models.setdefault(key.name, {})[key.version] = version
            dirty.add(key.name)
            return
        if version.is_withdrawn:
            dirty.add(key.name)
        version.offer(offer)

    def _drop(self, key: ModelKey) -> None:
        if self._versions.pop(key, None) is None:
            return
        del self._models[key.name][key.version]
        if not self._models[key.name]:
            del self._models[key.name]

    def _keeping_served(self, catalogue: Catalogue) -> frozenset[ModelKey]:
        """The keys that are there; a served model whose configuration has become faulty counts as there."""
        kept = {
            key
            for key, version in self._versions.items()
            if key.name in catalogue.broken and (version.is_loaded or version.is_ensemble)
        }
        for key in kept:
            log.warning("%s: goes on as it was loaded: %s", key, catalogue.broken[key.name])
        return frozenset(catalogue.offers) | kept

    def _keeping_labels(self, catalogue: Catalogue) -> dict[str, Mapping[str, int]]:
        """The labels told, and the old ones of models that are not offered now and may serve on."""
        offered = {key.name for key in catalogue.offers}
        kept = {name: labels for name, labels in self._labels.items() if name in self._models}
        return {name: labels for name, labels in kept.items() if name not in offered} | {**catalogue.labels}

    def _on_change(self, version: Version) -> None:
        if version.is_over:
            self._drop(version.key)
        if self._dirty is not None:
            self._dirty.add(version.key.name)
        else:
            self._publish({version.key.name})

    def _publish(self, names: set[str]) -> None:
        changed = [view for name in sorted(names) if (view := self._view(name)) is not None]
        gone = names - {view.name for view in changed}
        self._is_published = True
        self._views.publish(tuple(changed), tuple(sorted(gone)))

    def _view(self, name: str) -> ModelView | None:
        """The model as fronts must see it; None where there is none."""
        now = self._means.clock()
        versions_by_number = sorted(self._models.get(name, {}).items())
        views = [version.view(now) for _, version in versions_by_number]
        versions = tuple(view for view in views if view is not None)
        broken = "" if versions else self._broken.get(name, "")
        labels = self._labels.get(name, {}) if versions else {}
        return shared(ModelView(name, versions, broken, labels)) if versions or broken else None


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
