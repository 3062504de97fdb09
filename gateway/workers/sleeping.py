"""What a worker does to let its GPU go and to have it back, with the weights in host memory meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.core.warmup import Warmup
from gateway.runtimes.contract import OutOfMemory, one_line
from gateway.workers.loading import Ready
from gateway.workers.memory import free_on_gpu, measured, resident_bytes, tells_of_too_little
from gateway.workers.messages import Asleep, Loaded, LoadFailed
from gateway.workers.warming import warm_up


def fall_asleep(ready: Ready) -> Asleep:
    """Has the model leave its device, and measures what that gives and takes."""
    assert ready.sleeper is not None, "only one that can is asked"
    held_bytes = -resident_bytes()
    try:
        with measured(free_on_gpu) as freed:
            ready.sleeper.sleep()
    except Exception as error:  # ruff: ignore[blind-except] - engines and models may raise anything
        return Asleep(error=one_line(error))
    return Asleep(max(0, held_bytes + resident_bytes()), freed.size_bytes)


def wake_up(
    ready: Ready, warmup: tuple[Warmup, ...], clock: Clock, on_opened: Callable[[], None]
) -> Loaded | LoadFailed:
    """Has it come back, and go through its warm-up: what engines tune at a first batch went with the device.

    What it takes there is not measured: the device kept a part, and a whole load has told of all of it.
    """
    assert ready.sleeper is not None, "only one that sleeps is asked"
    begun = clock()
    try:
        ready.sleeper.wake()
        phases_s = {"wake": clock() - begun}
        if warmup:
            on_opened()
            warm_up(ready.model, warmup)
            phases_s["warm_up"] = clock() - begun - phases_s["wake"]
    except Exception as error:  # ruff: ignore[blind-except] - engines and models may raise anything
        is_out_of_memory = isinstance(error, OutOfMemory) or tells_of_too_little(str(error))
        return LoadFailed(one_line(error), is_out_of_memory)
    return Loaded(ready.model.spec, phases_s, ready.note, can_sleep=True)
