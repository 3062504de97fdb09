"""What is counted of loads and deaths."""

from __future__ import annotations

from gateway.core.model import ModelKey
from gateway.lifecycle.facts import (
    FirstInference,
    InstanceEvicted,
    InstanceFailed,
    InstanceLoaded,
    WorkerDied,
)
from gateway.lifecycle.ledger import MAX_PHASES, Ledger

KEY = ModelKey("m", 1)


def ledger() -> Ledger:
    return Ledger(dict, lambda: {"front": 0, "zygote": 1})


def test_loads_and_deaths_are_counted_by_version() -> None:
    counted = ledger()
    counted.record(InstanceLoaded(KEY, 0.5, 0.02, {"session": 0.004}))
    counted.record(InstanceLoaded(KEY, 0.0, 0.03, {"session": 0.005}))
    counted.record(InstanceFailed(ModelKey("a", 2), "why"))
    counted.record(FirstInference(KEY, 0.001))
    counted.record(WorkerDied(KEY, "SIGKILL", "restart"))
    first, second = counted.loads()
    assert (first.model, first.version, first.results) == ("a", 2, {"failed": 1})
    assert second.results == {"ok": 2}
    assert {phase: (sum(h.counts), round(h.total, 3)) for phase, h in second.phases.items()} == {
        "slot": (2, 0.5),
        "spawn": (2, 0.041),
        "total": (2, 0.05),
        "session": (2, 0.009),
        "first_inference": (1, 0.001),
    }
    assert counted.restarts() == {("m", 1): 1}
    assert counted.process_restarts() == {"front": 0, "zygote": 1}
    assert counted.states() == {}


def test_evictions_by_device() -> None:
    counted = ledger()
    counted.record(InstanceEvicted(KEY, "cpu", 45.0))
    counted.record(InstanceEvicted(KEY, "GPU-1", 5.0))
    assert {device: round(one.total) for device, one in counted.evictions().items()} == {
        "GPU-1": 5,
        "cpu": 45,
    }
    assert list(counted.memory()) == []


def test_a_worker_cannot_make_endless_phases() -> None:
    counted = ledger()
    for number in range(10):
        counted.record(
            InstanceLoaded(KEY, 0, 0, {f"{number}-{n}": 0.0 for n in range(100)} | {"x" * 99: 0.0})
        )
    (series,) = counted.loads()
    assert len(series.phases) == MAX_PHASES
