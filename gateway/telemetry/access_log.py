"""One JSON line per request, for those who want them: nothing of a body, nothing a caller could forge."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core.clock import Clock
from gateway.core.records import RequestRecord


class _Line(msgspec.Struct):
    time: float
    model: str
    version: int
    protocol: str
    outcome: str
    duration_ms: float
    queue_ms: float
    compute_ms: float
    rows: int
    batch_rows: int
    cold: bool
    principal: str
    tenant: str


class AccessLog:
    """Writes records through `write`, which takes whole lines and must not block for long."""

    def __init__(self, write: Callable[[bytes], object], wall_clock: Clock) -> None:
        self._write = write
        self._wall_clock = wall_clock
        self._encode = msgspec.json.Encoder().encode

    def record(self, record: RequestRecord) -> None:
        """Writes one line."""
        line = _Line(
            round(self._wall_clock(), 6),
            record.model,
            record.version,
            record.protocol,
            "OK" if record.reason is None else record.reason.value,
            _milliseconds(record.duration_s),
            _milliseconds(record.queue_s),
            _milliseconds(record.compute_s),
            record.rows,
            record.batch_rows,
            record.is_cold,
            record.principal,
            record.tenant,
        )
        self._write(self._encode(line) + b"\n")


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)
