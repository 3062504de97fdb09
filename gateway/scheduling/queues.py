"""The queue of a model version, by what kind of model it is."""

from __future__ import annotations

import logging

from gateway.core.batching import NO_STRATEGIES, Strategies
from gateway.core.clock import Clock
from gateway.core.model import ModelSpec
from gateway.scheduling.contract import InstanceEvents, Loop
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.sequence_queue import SequenceQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.scheduling.strategy_room import StrategyRoom
from gateway.telemetry.executions import Executions

log = logging.getLogger("gateway.batching")

Queue = ModelQueue | SequenceQueue


def make_queue(  # ruff: ignore[too-many-arguments] - the surroundings of a queue, and who forms its batches
    spec: ModelSpec,
    settings: SchedulingSettings,
    loop: Loop,
    clock: Clock,
    poison: PoisonList,
    events: InstanceEvents,
    executions: Executions,
    strategies: Strategies = NO_STRATEGIES,
) -> Queue:
    """What requests for a version with this spec wait in; its own batches where no strategy is named."""
    if spec.sequence is not None:
        return SequenceQueue(spec, settings, loop, clock, events, executions)
    queue = ModelQueue(spec, settings, loop, clock, poison, events, executions)
    name = spec.batching.strategy
    if name in strategies.by_name:
        queue.wait_in(StrategyRoom(spec, strategies, settings.max_queue_requests))
    elif name:
        known = ", ".join(sorted(strategies.by_name)) or "none"
        log.warning(
            "model %s: there is no batching strategy '%s' (known: %s); it has the queue's own batches",
            *(spec.key, name, known),
        )
    return queue
