"""What happens to models, as an operator reads it in the log: in words, and in fields for programs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from gateway.core.events import Event
from gateway.lifecycle.facts import (
    Fact,
    FellAsleep,
    InstanceEvicted,
    InstanceFailed,
    InstanceLoaded,
    WorkerDied,
)

log = logging.getLogger("gateway.lifecycle")


class _Entry(NamedTuple):
    """A line of the log: `kind` and `fields` are for programs, and for those who are notified."""

    level: int
    text: str
    kind: str
    fields: dict[str, int | float | str]


class Journal:
    """Logs facts, passes them on to `tell`, and to `notify` what people may want to be told of."""

    def __init__(
        self, tell: Callable[[Fact], None], notify: Callable[[Event], None] = lambda event: None
    ) -> None:
        self._tell = tell
        self._notify = notify

    def record(self, fact: Fact) -> None:
        """Writes one fact down."""
        key = fact.key
        if isinstance(fact, InstanceLoaded) and fact.note:
            log.info("%s: instance %d: %s", key, fact.instance, fact.note)
        entry = _entry_of(fact)
        if entry is not None:
            about = {"event": entry.kind, "model": key.name, "version": key.version}
            log.log(entry.level, "%s: %s", key, entry.text, extra={**about, **entry.fields})
        self._tell(fact)
        if entry is not None:
            self._notify(Event(entry.kind, key.name, key.version, entry.fields))


def _entry_of(fact: Fact) -> _Entry | None:
    match fact:
        case InstanceLoaded(_, queued_s, load_s):
            times: dict[str, int | float | str] = {"queued_s": round(queued_s, 6), "load_s": round(load_s, 6)}
            return _Entry(logging.INFO, f"loaded in {load_s:.3f} s", "model_loaded", times)
        case FellAsleep(_, device, held_bytes):
            fields: dict[str, int | float | str] = {"device": device, "held_bytes": held_bytes}
            return _Entry(logging.INFO, f"asleep: it has left {device}", "model_asleep", fields)
        case InstanceFailed(_, reason):
            return _Entry(logging.ERROR, f"load failed: {reason}", "model_load_failed", {"reason": reason})
        case InstanceEvicted(_, device, unused_s):
            text = f"put out of {device} to make room, unused for {unused_s:.1f} s"
            fields = {"device": device, "unused_s": round(unused_s, 3)}
            return _Entry(logging.INFO, text, "model_evicted", fields)
        case WorkerDied(_, end, then):
            text = f"a worker ended ({end}), next: {then}"
            return _Entry(logging.WARNING, text, "worker_died", {"end": end, "then": then})
    return None


def tell_front_ended(front: int, pid: int | None, end: str, wait_s: float) -> None:
    """Writes down that a front ended unasked, and when the next one is started."""
    extra = {"event": "front_died", "front": front, "front_pid": pid, "end": end, "next_in_s": wait_s}
    log.warning("front %d (pid %s) ended (%s); next in %.1f s", front, pid, end, wait_s, extra=extra)
