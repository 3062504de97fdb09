"""The queue of a model version, by what kind of model it is."""

from __future__ import annotations

from gateway.core.clock import Clock
from gateway.core.model import ModelSpec
from gateway.scheduling.contract import InstanceEvents, Loop
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.sequence_queue import SequenceQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions

Queue = ModelQueue | SequenceQueue


def make_queue(
    spec: ModelSpec,
    settings: SchedulingSettings,
    loop: Loop,
    clock: Clock,
    poison: PoisonList,
    events: InstanceEvents,
    executions: Executions,
) -> Queue:
    """What requests for a version with this spec wait in."""
    if spec.sequence is not None:
        return SequenceQueue(spec, settings, loop, clock, events, executions)
    return ModelQueue(spec, settings, loop, clock, poison, events, executions)
