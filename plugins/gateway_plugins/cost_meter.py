"""What callers have used, for those who send bills: requests, rows, tokens and the seconds of a device.

DESIGN: a batch's time on its device is shared by rows: whoever has 3 of its 12 pays a quarter. It is added
up in memory by (tenant, principal, model) and appended to a CSV file every minute and at the end, one line
a key that was used; the file only grows, and lines of several processes stand side by side. A line that
could not be written is tried again with the next ones, for nothing is forgotten until it is written.
What a token is says the operator: an element of an output, so that each answer of a stream counts its own.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import Caller, matches
from gateway.core.measures import MAX_MEASURES, Measure
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.records import RequestRecord
from gateway.hooks import Start, hookimpl

log = logging.getLogger("gateway.plugins")

COLUMNS = (
    *("until", "process", "tenant", "principal", "model"),
    *("requests", "failed", "rows", "device_seconds", "tokens"),
)
# More keys than that in one interval share a line of their own, so that memory is bounded.
_MAX_KEYS = 100_000
_OTHERS = ("", "(others)", "")
_MEASURES = ("requests", "failed", "rows", "device_seconds", "tokens")
# On the page of metrics; the one for all others is beside them.
_MAX_TOTALS = MAX_MEASURES // len(_MEASURES) - 1

Key = tuple[str, str, str]


class CostMeterSettings(BaseModel):
    """[plugins.settings.cost_meter]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="The CSV file that lines are appended to; its folder must be there.")
    tokens: tuple[str, ...] = Field((), description="Patterns of outputs whose elements are tokens.")
    interval_s: float = Field(60.0, ge=1, le=86_400, description="Between lines.")


class Used(NamedTuple):
    """What one key has used since the last line."""

    requests: int = 0
    failed: int = 0
    rows: int = 0
    device_s: float = 0.0
    tokens: int = 0

    @classmethod
    def by(cls, record: RequestRecord) -> Used:
        """By one request."""
        share = record.rows / record.batch_rows if record.batch_rows else 0.0
        failed = int(record.reason is not None)
        return cls(1, failed, record.rows, record.compute_s * share)

    def and_(self, other: Used) -> Used:
        """Both together."""
        return Used(
            self.requests + other.requests,
            self.failed + other.failed,
            self.rows + other.rows,
            self.device_s + other.device_s,
            self.tokens + other.tokens,
        )


class CostMeter:
    """Adds up requests, rows and device seconds by tenant, principal and model, in a CSV file."""

    Settings = CostMeterSettings

    def __init__(self, settings: CostMeterSettings, start: Start) -> None:
        if not settings.file.parent.is_dir():
            raise ValueError(f"file: the folder of {settings.file.name} is not there")
        self._settings = settings
        self._wall = start.wall
        self._used: dict[Key, Used] = {}
        self._totals: dict[Key, Used] = {}  # since the process began, for the page of metrics
        self.unused = () if settings.tokens else ("transform_response",)
        self._task: asyncio.Task[None] | None = None
        self._is_writable = True

    @hookimpl
    def on_request(self, record: RequestRecord) -> None:
        """Requests for models that do not exist are nobody's cost."""
        if not record.model:
            return
        self._add((record.tenant, record.principal, record.model), Used.by(record))

    @hookimpl(trylast=True)
    def transform_response(self, response: InferResponse, request: InferRequest, caller: Caller) -> None:
        """Changes nothing; counts tokens."""
        tokens = sum(
            prod(one.shape)
            for one in response.outputs
            if any(matches(pattern, one.name) for pattern in self._settings.tokens)
        )
        if tokens:
            self._add((caller.tenant, caller.id, response.model), Used(tokens=tokens))

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """All that was used since the process began; callers without end share a line."""
        return tuple([
            Measure(name, "counter", value, tuple(zip(("tenant", "principal", "model"), key, strict=True)))
            for key, one in self._totals.items()
            for name, value in zip(_MEASURES, one, strict=True)
        ])

    def _add(self, key: Key, used: Used) -> None:
        for books, most in ((self._used, _MAX_KEYS), (self._totals, _MAX_TOTALS)):
            place = key if key in books or len(books) < most else _OTHERS
            books[place] = books.get(place, Used()).and_(used)

    @hookimpl
    async def on_start(self) -> None:
        """Begins to write."""
        self._task = asyncio.create_task(self._write_now_and_then(), name="cost_meter")

    @hookimpl
    async def on_stop(self) -> None:
        """Writes what there is."""
        if self._task is not None:
            self._task.cancel()
        await self.write()

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._settings.interval_s)
            await self.write()

    async def write(self) -> None:
        """Appends a line for each key that was used since the last time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await asyncio.to_thread(self._append, used, self._wall())
            self._is_writable = True
        except OSError as error:
            if self._is_writable:
                log.error("costs cannot be written, and are kept: %s", error.strerror or error)
            self._is_writable = False
            for key, one in used.items():
                self._used[key] = one.and_(self._used.get(key, Used()))

    def _append(self, used: Mapping[Key, Used], wall: float) -> None:
        until = datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds")
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        if not self._settings.file.exists():
            writer.writerow(COLUMNS)
        for key, one in sorted(used.items()):
            counted = (one.requests, one.failed, one.rows, f"{one.device_s:.6f}", one.tokens)
            writer.writerow((until, os.getpid(), *map(_safe, key), *counted))
        # One write of whole lines: those of another process come before or after them.
        with self._settings.file.open("ab", buffering=0) as file:
            file.write(lines.getvalue().encode())


def _safe(text: str) -> str:
    """A name that a spreadsheet would take for a formula is one no more."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
