"""All versions of all models: what the repository offers becomes versions, what happens to them views."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.control.messages import ModelView
from gateway.control.questions import IndexEntry
from gateway.control.views import shared
from gateway.core.model import ModelKey
from gateway.lifecycle.disappearance import believe
from gateway.lifecycle.ensembles import with_parts
from gateway.lifecycle.handover import Handovers
from gateway.lifecycle.means import Means
from gateway.lifecycle.offers import Catalogue, Offer
from gateway.lifecycle.states import State
from gateway.lifecycle.version import Version

log = logging.getLogger("gateway.lifecycle")


class Views(Protocol):
    """Takes what has changed in the world, on its way to the fronts."""

    def publish(self, changed: tuple[ModelView, ...], removed: tuple[str, ...] = ()) -> None:
        """These models are new or different, those are gone (perhaps never told of)."""


# How a load went: "" where every version is ready, else why one is not.
Outcome = Callable[[str], None]
UNLOADED = "unloaded"


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
        self._handovers = Handovers(self._models)
        self._is_published = False
        self._broken: dict[str, str] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        # What the repository has of each model that was unloaded: nothing of it is served until it is loaded.
        self._unloaded: dict[str, Catalogue] = {}
        # Loads that somebody waits for, by model.
        self._awaited: dict[str, Outcome] = {}
        self._doubted: frozenset[ModelKey] = frozenset()
        # Those that are loaded or on their way, and those that are to be: few of many.
        self._awake: set[ModelKey] = set()
        self._eager: set[ModelKey] = set()
        # While not None: names whose views are published when the whole reconciliation is through.
        self._dirty: set[str] | None = None

    def reconcile(self, catalogue: Catalogue) -> None:
        """Makes the versions those of `catalogue`; what is new starts absent, what is gone is drained.

        What was unloaded stays so, whatever becomes of it there.
        """
        unloaded = self._unloaded
        catalogue, self._unloaded = _set_apart(catalogue, unloaded)
        offers = self._keeping_served(catalogue)
        current = frozenset(
            key
            for key, version in self._versions.items()
            if not version.is_withdrawn and key not in self._handovers
        )
        belief = believe(current, offers, self._doubted)
        if belief.doubted:
            log.warning(
                "%d of %d versions are gone at once: not believed yet", len(belief.doubted), len(current)
            )
        self._doubted = belief.doubted
        old, self._broken = self._broken, dict(catalogue.broken)
        # A set, so that whatever changes below is published once.
        labels = self._keeping_labels(catalogue)
        dirty = _differing(old, self._broken) | _differing(self._labels, labels)
        dirty |= {
            name for name, mine in unloaded.items() if _is_there(mine) != _is_there(self._unloaded[name])
        }
        self._labels = labels
        self._dirty = dirty
        offered = {key.name for key in catalogue.offers}
        for key in belief.gone:
            dirty.add(key.name)
            self._let_go(self._versions[key], has_successor=key.name in offered)
        for key, offer in catalogue.offers.items():
            self._take(key, offer, dirty)
        self._handovers.settle_all()
        self._end_batch()

    @property
    def is_doubting(self) -> bool:
        """True while the next look is to show whether what seems gone really is."""
        return bool(self._doubted)

    def unload(self, name: str) -> None:
        """Serves no version of `name` until it is loaded; harmless for a model that is not there."""
        versions = self._models.get(name, {})
        if name in self._unloaded or not (versions or name in self._broken):
            return
        there = [one for one in versions.values() if not one.is_withdrawn]
        mine = Catalogue({one.key: one.offered for one in there if one.key not in self._handovers})
        if reason := self._broken.get(name):
            mine = Catalogue({}, {name: reason})
        self._unloaded[name] = mine
        self._broken.pop(name, None)
        self._dirty = {name}
        for version in tuple(versions.values()):
            self._let_go(version, has_successor=False)
        self._end_batch()

    def take(self, name: str, catalogue: Catalogue) -> None:
        """Makes the versions of `name` those of `catalogue`, also where it was unloaded or is served.

        A loaded one that is to be another is drained; whoever calls it meanwhile waits for its next load.
        """
        self._replace(name, catalogue)
        self._end_batch()

    def load(self, name: str, catalogue: Catalogue, outcome: Outcome) -> None:
        """Does what `take` does and loads all versions; calls `outcome` once.

        Must not be called while another load of `name` is under way.
        """
        assert name not in self._awaited, "loads of one model are one after the other"
        self._replace(name, catalogue)
        for key in catalogue.offers:
            self._versions[key].retry()
        self._awaited[name] = outcome
        self._end_batch()

    def give_up(self, name: str) -> None:
        """Nobody waits for the load of `name` any more; it goes on."""
        self._awaited.pop(name, None)

    def activate(self, name: str) -> None:
        """Loads all versions of a model that are not known to fail."""
        for version in tuple(self._models.get(name, {}).values()):
            version.activate()

    def is_unloaded(self, name: str) -> bool:
        """True from its unload to its next load."""
        return name in self._unloaded

    def is_loaded(self, name: str) -> bool:
        """True while one of its versions serves, or is about to."""
        return any(one.is_loaded and not one.is_withdrawn for one in self._models.get(name, {}).values())

    def index(self) -> tuple[IndexEntry, ...]:
        """Every version of every model, by name and number, with its state."""
        entries = [
            version.indexed() for version in self._versions.values() if version.key.name not in self._unloaded
        ]
        served = {entry.name for entry in entries}
        entries += [
            IndexEntry(name, 0, "UNAVAILABLE", reason)
            for name, reason in self._broken.items()
            if name not in served
        ]
        for name, mine in self._unloaded.items():
            numbers = [key.version for key in mine.offers] or [0 for _ in mine.broken]
            entries += [IndexEntry(name, number, "UNAVAILABLE", UNLOADED) for number in numbers]
        graphs = {key: graph for key, one in self._versions.items() if (graph := one.offered.ensemble)}
        ordered = sorted(entries, key=lambda entry: (entry.name, entry.version))
        return with_parts(ordered, graphs) if graphs else tuple(ordered)

    def version(self, key: ModelKey) -> Version | None:
        """That version, None where there is none."""
        return self._versions.get(key)

    def names(self) -> Iterable[str]:
        """The models that can be called."""
        return [name for name in self._models if name not in self._unloaded]

    def scalable(self) -> Iterable[Version]:
        """Versions whose numbers of instances are to be looked at: a few, however many there are."""
        keys = sorted(self._awake | self._eager)
        return [one for key in keys if (one := self._versions.get(key)) is not None and not one.is_withdrawn]

    def on_activate(self, key: ModelKey, wait_s: float) -> None:
        """Somebody waits for `key`; unknown ones and repetitions are harmless."""
        if version := self._versions.get(key):
            version.activate()

    def on_suspect(self, worker: int, reason: str) -> None:
        """A front cannot rely on `worker`: it is replaced."""
        for version in self._versions.values():
            if worker in version.roster.workers:
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

    def pids(self, model: str) -> dict[ModelKey, Sequence[int]]:
        """The processes that serve each loaded version of a model ("" all)."""
        versions = self._models.get(model, {}).values() if model else self._versions.values()
        return {version.key: pids for version in versions if (pids := version.roster.pids())}

    def statistics(self) -> LifecycleStatistics:
        """What there is now."""
        states = Counter(version.state.value for version in self._versions.values())
        return LifecycleStatistics(states, self._means.places.running, self._means.places.waiting)

    def check(self) -> None:
        """Asserts the invariants."""
        self._means.places.check()
        assert sum(map(len, self._models.values())) == len(self._versions)
        for version in self._versions.values():
            version.check()
            assert not version.is_over

    def _replace(self, name: str, catalogue: Catalogue) -> None:
        self._dirty = dirty = {name}
        self._unloaded.pop(name, None)
        self._broken.pop(name, None)
        self._broken.update(catalogue.broken)
        self._labels.pop(name, None)
        self._labels.update(catalogue.labels)
        for version in tuple(self._models.get(name, {}).values()):
            offer = catalogue.offers.get(version.key)
            if offer is None or offer.fingerprint != version.offered.fingerprint:
                self._let_go(version, has_successor=offer is None and bool(catalogue.offers))
        for key, offer in catalogue.offers.items():
            self._take(key, offer, dirty)
        self._handovers.settle(name)

    def _let_go(self, version: Version, *, has_successor: bool) -> None:
        """It is not offered any more: it goes at once, or once another version of its model can take over."""
        if has_successor and version.is_loaded and not version.is_withdrawn:
            self._handovers.begin(version.key)
            return
        self._handovers.forget(version.key)
        version.withdraw()

    def _take(self, key: ModelKey, offer: Offer, dirty: set[str]) -> None:
        if offer.scale.min_instances:
            self._eager.add(key)
        else:
            self._eager.discard(key)
        version = self._versions.get(key)
        if version is None:
            version = Version(offer, self._means, self._on_change)
            self._versions[key] = self._models.setdefault(key.name, {})[key.version] = version
            self._handovers.try_again(key.name)
            dirty.add(key.name)
            return
        if version.is_withdrawn:
            dirty.add(key.name)
        self._handovers.forget(key)
        if offer.fingerprint != version.offered.fingerprint:
            self._handovers.try_again(key.name)
        version.offer(offer)

    def _drop(self, key: ModelKey) -> None:
        self._eager.discard(key)
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
        if version.is_loaded:
            self._awake.add(version.key)
        else:
            self._awake.discard(version.key)
        if version.is_over:
            self._drop(version.key)
        self._handovers.settle(version.key.name)
        if self._dirty is not None:
            self._dirty.add(version.key.name)
        else:
            self._publish({version.key.name})

    def _end_batch(self) -> None:
        dirty, self._dirty = self._dirty or set(), None
        if dirty or not self._is_published:
            self._publish(dirty)

    def _publish(self, names: set[str]) -> None:
        changed = [view for name in sorted(names) if (view := self._view(name)) is not None]
        gone = names - {view.name for view in changed}
        self._is_published = True
        self._views.publish(tuple(changed), tuple(sorted(gone)))
        for name in names & self._awaited.keys():
            if (result := self._result(name)) is not None:
                self._awaited.pop(name)(result)

    def _result(self, name: str) -> str | None:
        """How a load of all its versions has gone; None while that is open."""
        going = self._handovers.outgoing(name)
        versions = [one for number, one in self._models.get(name, {}).items() if number not in going]
        versions = [one for one in versions if not one.is_withdrawn]
        if not versions:
            return "it is not in the repository any more"
        for version in versions:
            if version.state is State.FAILED:
                return f"version {version.key.version}: {version.indexed().reason}"
        return "" if all(one.state is State.READY or one.is_ensemble for one in versions) else None

    def _view(self, name: str) -> ModelView | None:
        """The model as fronts must see it; None where there is none. What was unloaded has no versions."""
        if unloaded := self._unloaded.get(name):
            return ModelView(name, ()) if _is_there(unloaded) else None
        now = self._means.clock()
        versions_by_number = sorted(self._models.get(name, {}).items())
        views = [version.view(now) for _, version in versions_by_number]
        versions = tuple(view for view in views if view is not None)
        broken = "" if versions else self._broken.get(name, "")
        labels = self._labels.get(name, {}) if versions else {}
        return shared(ModelView(name, versions, broken, labels)) if versions or broken else None


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _set_apart(
    catalogue: Catalogue, unloaded: Mapping[str, Catalogue]
) -> tuple[Catalogue, dict[str, Catalogue]]:
    """`catalogue` without the models that were unloaded, and what it has of each of those."""
    if not unloaded:
        return catalogue, {}
    offers: dict[str, dict[ModelKey, Offer]] = {name: {} for name in unloaded}
    rest: dict[ModelKey, Offer] = {}
    for key, offer in catalogue.offers.items():
        offers.get(key.name, rest)[key] = offer
    broken = catalogue.broken
    apart = {
        name: Catalogue(mine, {name: broken[name]} if name in broken else {}) for name, mine in offers.items()
    }
    faults = {name: reason for name, reason in broken.items() if name not in apart}
    labels = {name: labels for name, labels in catalogue.labels.items() if name not in apart}
    return Catalogue(rest, faults, labels), apart


def _is_there(mine: Catalogue) -> bool:
    return bool(mine.offers or mine.broken)
