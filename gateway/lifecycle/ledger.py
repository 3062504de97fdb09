"""What the controller has counted of loads and deaths, in the form the metrics page wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.core.model import ModelKey
from gateway.lifecycle.facts import (
    Fact,
    FirstInference,
    InstanceEvicted,
    InstanceFailed,
    InstanceLoaded,
    WorkerDied,
)
from gateway.telemetry.exposition import (
    IDLE_BOUNDS_S,
    LOAD_BOUNDS_S,
    LoadSeries,
    MemorySeries,
    UpstreamSeries,
)
from gateway.telemetry.series import Histogram
from gateway.workers.upstreams import UpstreamTotals

# A worker names the phases of its load: more than these, or longer names, are not kept.
MAX_PHASES = 16
MAX_PHASE_NAME = 32

Version = tuple[str, int]


class Ledger:
    """Counts facts. Bounded by what the repository has ever held, for only such versions load."""

    def __init__(
        self,
        states: Callable[[], Mapping[Version, str]],
        process_restarts: Callable[[], Mapping[str, int]],
        upstreams: Callable[[], Mapping[ModelKey, UpstreamTotals]] = dict,
        memory: Callable[[], Iterable[MemorySeries]] = tuple,
    ) -> None:
        self.memory = memory
        self.states = states
        self._upstreams = upstreams
        self.process_restarts = process_restarts
        self._loads: dict[Version, LoadSeries] = {}
        self._deaths: dict[Version, int] = {}
        self._evictions: dict[str, Histogram] = {}

    def loads(self) -> Iterable[LoadSeries]:
        """Loads by model version, in a stable order."""
        return [self._loads[version] for version in sorted(self._loads)]

    def upstreams(self) -> Iterable[UpstreamSeries]:
        """What remote models have counted, by model version."""
        return [
            UpstreamSeries(key.name, key.version, dict(one.states), *one[1:])
            for key, one in self._upstreams().items()
        ]

    def evictions(self) -> Mapping[str, Histogram]:
        """How long those that made room had been unused, by device."""
        return dict(sorted(self._evictions.items()))

    def restarts(self) -> Mapping[Version, int]:
        """Workers that died, by model version."""
        return dict(sorted(self._deaths.items()))

    def record(self, fact: Fact) -> None:
        """Counts one fact."""
        version = (fact.key.name, fact.key.version)
        match fact:
            case InstanceLoaded():
                series = self._series(fact.key)
                series.results["ok"] = series.results.get("ok", 0) + 1
                inside_s = sum(seconds for phase, seconds in fact.phases_s.items() if phase != "fetch")
                # What is left is the worker's making, nearly nothing for one that waited, and messages.
                spawn_s = max(0.0, fact.load_s - inside_s)
                told = {"slot": fact.queued_s, "spawn": spawn_s, "total": fact.load_s}
                phases = {**told, **fact.phases_s}
                for phase, seconds in phases.items():
                    _observe(series, phase, seconds)
            case FirstInference(_, seconds):
                _observe(self._series(fact.key), "first_inference", seconds)
            case InstanceFailed():
                series = self._series(fact.key)
                series.results["failed"] = series.results.get("failed", 0) + 1
            case InstanceEvicted(_, device, unused_s):
                if device not in self._evictions:
                    self._evictions[device] = Histogram.of(IDLE_BOUNDS_S)
                self._evictions[device].observe(unused_s)
            case WorkerDied():
                self._deaths[version] = self._deaths.get(version, 0) + 1

    def _series(self, key: ModelKey) -> LoadSeries:
        version = (key.name, key.version)
        if version not in self._loads:
            self._loads[version] = LoadSeries(key.name, key.version, {}, {})
        return self._loads[version]


def _observe(series: LoadSeries, phase: str, seconds: float) -> None:
    if phase not in series.phases:
        if len(series.phases) >= MAX_PHASES or len(phase) > MAX_PHASE_NAME:
            return
        series.phases[phase] = Histogram.of(LOAD_BOUNDS_S)
    series.phases[phase].observe(seconds)
