"""Loads a model by the name of its runtime, in a worker or (isolation inline) in a front."""

from __future__ import annotations

from pathlib import Path

from gateway.core.clock import Clock
from gateway.runtimes.contract import LoadedModel, LoadError, find_runtime, one_line
from gateway.runtimes.reshaping import reshaped
from gateway.workers.messages import Load
from gateway.workers.stateful import stateful
from gateway.workers.warming import warm_up


def load_model(load: Load, clock: Clock) -> tuple[LoadedModel, dict[str, float]]:
    """The model, warm, and how many seconds importing the runtime, loading and warming took.

    Raises LoadError.
    """
    begun = clock()
    runtime = find_runtime(load.runtime)
    found = clock()
    try:
        model = runtime.load(
            Path(load.path),
            load.spec,
            load.options,
            max_batch_known=load.max_batch_known,
            default_max_batch_size=load.default_max_batch_size,
        )
    except LoadError:
        raise
    except Exception as error:  # engines fail in ways of their own
        raise LoadError(f"{type(error).__name__}: {one_line(error, load.path)}") from error
    loaded = clock()
    model = stateful(reshaped(model), load.state_paths)
    phases_s = {"runtime": found - begun, "load": loaded - found}
    if load.warmup:
        try:
            warm_up(model, load.warmup)
        except LoadError:
            model.close()
            raise
        phases_s["warm_up"] = clock() - loaded
    return model, phases_s
