"""What the controller is told of how models are used: made from what the sweeps have seen, once a second.

Costs the requests nothing: a slot that had one is in the pipeline's set of busy slots until the next sweep,
and how much it has under way is asked there anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from gateway.control.messages import Demand, VersionDemand
from gateway.core.scaling import KeepAlive
from gateway.pipeline.catalogue import Catalogue, VersionSlot
from gateway.pipeline.pipeline import Pipeline
from gateway.telemetry.series import Gauges, QueueDepth
from gateway.wire.listener import ListenerStatistics

# Up to 230 bytes each in msgpack; a packet carries 128 KiB.
_VERSIONS_A_PACKET = 400


class DemandReport:
    """Sends reports by `tell`; `swept` must be called at every sweep of `pipeline`, busy or not."""

    def __init__(self, pipeline: Pipeline, tell: Callable[[Demand], None]) -> None:
        self._pipeline = pipeline
        self._tell = tell
        self._sweeps = 0
        self._is_told = False  # the last report had something in it

    def swept(self) -> None:
        """One more sample was taken of all that is busy."""
        self._sweeps += 1

    def send(self) -> None:
        """Tells of the time since the last report; nothing where there was nothing, then or now."""
        pipeline = self._pipeline
        loads, pipeline.demand = pipeline.demand, {}
        kept, pipeline.keep_alive = pipeline.keep_alive, {}
        sweeps, self._sweeps = max(1, self._sweeps), 0
        versions = [_demand(slot, load / sweeps, kept.get(slot)) for slot, load in loads.items()]
        if not versions and not self._is_told:
            return
        self._is_told = bool(versions)
        for start in range(0, max(1, len(versions)), _VERSIONS_A_PACKET):
            self._tell(Demand(tuple(versions[start : start + _VERSIONS_A_PACKET]), start == 0))


def gauges(
    catalogue: Catalogue,
    listeners: Iterable[ListenerStatistics],
    failures: Mapping[tuple[str, str, str], int],
) -> Gauges:
    """The state of one front; `failures` of plugins by (plugin, hook, way)."""
    connections, faults = 0, Counter[str]()
    for one in listeners:
        connections += one.open
        faults.update(one.faults)
    failed = tuple((*key, count) for key, count in failures.items())
    return Gauges(queue_depths(catalogue.slots()), connections, dict(faults), failed)


def queue_depths(slots: Iterable[VersionSlot]) -> tuple[QueueDepth, ...]:
    """What waits and runs now, of every version where anything does."""
    depths = []
    for slot in slots:
        if slot.queue is not None:
            waiting, in_flight, _ = slot.queue.statistics()
            waiting += len(slot.waiters)
            if waiting or in_flight:
                depths.append(QueueDepth(slot.key.name, slot.key.version, waiting, in_flight))
    return tuple(depths)


def _demand(slot: VersionSlot, concurrency: float, keep_alive: KeepAlive | None) -> VersionDemand:
    in_flight = len(slot.waiters)
    if slot.queue is not None:
        waiting, running, _ = slot.queue.statistics()
        in_flight += waiting + running
    return VersionDemand(slot.key, concurrency, in_flight, keep_alive)
