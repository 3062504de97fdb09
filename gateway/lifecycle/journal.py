"""What happens to models, as an operator reads it in the log: in words, and in fields for programs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.lifecycle.facts import (
    Fact,
    FellAsleep,
    InstanceEvicted,
    InstanceFailed,
    InstanceLoaded,
    WorkerDied,
)

log = logging.getLogger("gateway.lifecycle")


class Journal:
    """Logs facts, and passes them on to `tell`."""

    def __init__(self, tell: Callable[[Fact], None]) -> None:
        self._tell = tell

    def record(self, fact: Fact) -> None:
        """Writes one fact down."""
        about = {"model": fact.key.name, "version": fact.key.version}
        match fact:
            case InstanceLoaded(key, queued_s, load_s, _, instance, note):
                if note:
                    log.info("%s: instance %d: %s", key, instance, note)
                times = {"queued_s": round(queued_s, 6), "load_s": round(load_s, 6)}
                log.info(
                    "%s: loaded in %.3f s", key, load_s, extra={"event": "model_loaded", **about, **times}
                )
            case FellAsleep(key, device, held_bytes):
                extra = {"event": "model_asleep", **about, "device": device, "held_bytes": held_bytes}
                log.info("%s: asleep: it has left %s", key, device, extra=extra)
            case InstanceFailed(key, reason):
                extra = {"event": "model_load_failed", **about, "reason": reason}
                log.error("%s: load failed: %s", key, reason, extra=extra)
            case InstanceEvicted(key, device, unused_s):
                extra = {"event": "model_evicted", **about, "device": device, "unused_s": round(unused_s, 3)}
                log.info(
                    "%s: put out of %s to make room, unused for %.1f s", key, device, unused_s, extra=extra
                )
            case WorkerDied(key, end, then):
                extra = {"event": "worker_died", **about, "end": end, "then": then}
                log.warning("%s: a worker ended (%s), next: %s", key, end, then, extra=extra)
        self._tell(fact)


def tell_front_ended(front: int, pid: int | None, end: str, wait_s: float) -> None:
    """Writes down that a front ended unasked, and when the next one is started."""
    extra = {"event": "front_died", "front": front, "front_pid": pid, "end": end, "next_in_s": wait_s}
    log.warning("front %d (pid %s) ended (%s); next in %.1f s", front, pid, end, wait_s, extra=extra)
