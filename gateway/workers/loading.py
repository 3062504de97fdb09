"""Loads a model by the name of its runtime, in a worker or (isolation inline) in a front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.runtimes.contract import (
    LoadedModel,
    LoadError,
    OutOfMemory,
    SleepingModel,
    find_runtime,
    note_of,
    one_line,
    sleeping,
)
from gateway.runtimes.reshaping import reshaped
from gateway.workers.memory import tells_of_too_little
from gateway.workers.messages import Load
from gateway.workers.stateful import stateful
from gateway.workers.warming import warm_up


class Ready(NamedTuple):
    """A model, warm; the seconds that importing its runtime, loading and warming took; its own note.

    `sleeper` is the engine's model where that can leave its device.
    """

    model: LoadedModel
    phases_s: dict[str, float]
    note: str
    sleeper: SleepingModel | None = None


def load_model(load: Load, clock: Clock, on_opened: Callable[[], None] | None = None) -> Ready:
    """Does what it is told; raises LoadError. `on_opened` is called before a warm-up, if there is one."""
    try:
        return _load_model(load, clock, on_opened)
    except OutOfMemory:
        raise
    except LoadError as error:
        if tells_of_too_little(str(error)):
            raise OutOfMemory(str(error)) from error
        raise


def _load_model(load: Load, clock: Clock, on_opened: Callable[[], None] | None) -> Ready:
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
    note, sleeper = note_of(model), sleeping(model)
    model = stateful(reshaped(model), load.state_paths)
    phases_s = {"runtime": found - begun, "load": loaded - found}
    if load.warmup:
        if on_opened is not None:
            on_opened()
        try:
            warm_up(model, load.warmup)
        except LoadError:
            model.close()
            raise
        phases_s["warm_up"] = clock() - loaded
    # What a stateful one keeps of its sequences would have to wait, too: such a model is never unused.
    return Ready(model, phases_s, note, None if load.spec.sequence else sleeper)
