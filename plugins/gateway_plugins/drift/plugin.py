"""The plugin `drift`: tells, by a report and the log, when what models see or say is not what it was."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import Caller, matches
from gateway.core.dtypes import NUMPY, DType
from gateway.core.measures import MAX_MEASURES, Measure
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.tensor import Tensor
from gateway.hooks import Start, hookimpl
from gateway_plugins.drift.histograms import Bins, Values
from gateway_plugins.drift.measures import MIN_ROWS, Counts, Verdict, distance, stability_index, verdict

log = logging.getLogger("gateway.plugins")

# Of one tensor; what a model sees beyond that is not looked at.
MAX_FEATURES = 64
MAX_TENSORS = 256
WRITE_S = 10.0

Key = tuple[str, str, str]


class DriftSettings(BaseModel):
    """[plugins.settings.drift]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(min_length=1, description="Patterns of the models that are watched.")
    reference: Path = Field(description="The frozen reference; made of the first rows where it is not there.")
    report: Path = Field(description="Where verdicts are written, as JSON; its folder must be there.")
    reference_rows: int = Field(
        5000, ge=MIN_ROWS, le=1_000_000, description="Rows that a reference is made of."
    )
    window_rows: int = Field(2000, ge=MIN_ROWS, le=1_000_000, description="Rows that a verdict is made of.")
    share: float = Field(1.0, gt=0, le=1, description="Of the requests; fewer cost less.")


class _Watched:
    """One tensor of one model: first rows for the reference, then windows against it."""

    def __init__(self) -> None:
        self.rows: list[Values] = []
        self.waiting = 0
        self.bins: list[Bins] = []
        self.reference: list[Counts] = []
        self.window: list[Counts] = []
        self.verdicts: list[dict[str, Any]] = []

    def freeze(self, values: Values) -> None:
        self.bins = [Bins.of(column) for column in values.T]
        self.reference = [bins.count(column) for bins, column in zip(self.bins, values.T, strict=True)]
        self.begin()

    def begin(self) -> None:
        self.window = [np.zeros(bins.size, np.int64) for bins in self.bins]


class Drift:
    """Compares inputs and outputs of models with a frozen reference (PSI, Jensen-Shannon)."""

    Settings = DriftSettings

    def __init__(self, settings: DriftSettings, start: Start, random: Random | None = None) -> None:
        if not settings.report.parent.is_dir() or not settings.reference.parent.is_dir():
            raise ValueError("report, reference: a folder is not there")
        self._settings = settings
        self._wall = start.wall
        self._random = random or Random()
        self._watched = _read(settings.reference)
        self._task: asyncio.Task[None] | None = None
        self._has_frozen = self._has_judged = False

    @hookimpl
    def transform_response(self, response: InferResponse, request: InferRequest, caller: Caller) -> None:
        """Changes nothing."""
        settings = self._settings
        if settings.share < 1 and self._random.random() >= settings.share:
            return
        if any(matches(pattern, response.model) for pattern in settings.models):
            self._see(response.model, "inputs", request.inputs)
            self._see(response.model, "outputs", response.outputs)

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """Of each tensor's last window: the largest index of its features, and how many have drifted."""
        told: list[Measure] = []
        for (model, side, tensor), one in self._watched.items():
            if one.verdicts:
                labels = (("model", model), ("side", side), ("tensor", tensor))
                drifted = sum(each["verdict"] in _DRIFTED for each in one.verdicts)
                told += [
                    Measure("psi", "gauge", max(each["psi"] for each in one.verdicts), labels),
                    Measure("drifted_features", "gauge", drifted, labels),
                ]
        return tuple(told[:MAX_MEASURES])

    @hookimpl
    async def on_start(self) -> None:
        """Begins to write reports."""
        self._task = asyncio.create_task(self._write_now_and_then(), name="drift")

    @hookimpl
    async def on_stop(self) -> None:
        """Writes the last one."""
        if self._task is not None:
            self._task.cancel()
        await self.write()

    # ---- what is seen ------------------------------------------------------------------------------

    def _see(self, model: str, side: str, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            values = _values(tensor)
            key = (model, side, tensor.name)
            watched = self._watched.get(key)
            if values is None or (watched is None and len(self._watched) >= MAX_TENSORS):
                continue
            if watched is None:
                watched = self._watched[key] = _Watched()
            if watched.bins:
                self._judge(key, watched, values)
            else:
                self._gather(watched, values)

    def _gather(self, watched: _Watched, values: Values) -> None:
        if watched.rows and watched.rows[0].shape[1] != values.shape[1]:
            return
        watched.rows.append(values)
        watched.waiting += len(values)
        if watched.waiting >= self._settings.reference_rows:
            watched.freeze(np.concatenate(watched.rows))
            watched.rows = []
            self._has_frozen = True

    def _judge(self, key: Key, watched: _Watched, values: Values) -> None:
        if values.shape[1] != len(watched.bins):
            return
        for window, bins, column in zip(watched.window, watched.bins, values.T, strict=True):
            window += bins.count(column)
        if int(watched.window[0].sum()) < self._settings.window_rows:
            return
        watched.verdicts = [
            _verdict(reference, window)
            for reference, window in zip(watched.reference, watched.window, strict=True)
        ]
        worst = [index for index, one in enumerate(watched.verdicts) if one["verdict"] != "stable"]
        if worst:
            log.warning("drift: %s, %s '%s': features %s", *key, ", ".join(map(str, worst[:10])))
        watched.begin()
        self._has_judged = True

    # ---- what is written ---------------------------------------------------------------------------

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write()

    async def write(self) -> None:
        """Writes the reference once it is there, and the report where there are new verdicts."""
        try:
            if self._has_frozen:
                await asyncio.to_thread(_replace, self._settings.reference, self._references())
                self._has_frozen = False
            if self._has_judged:
                await asyncio.to_thread(_replace, self._settings.report, self._report())
                self._has_judged = False
        except OSError as error:
            log.error("the report of drift cannot be written: %s", error.strerror or error)

    def _references(self) -> list[dict[str, Any]]:
        return [
            {
                **dict(zip(("model", "side", "tensor"), key, strict=True)),
                "bins": [bins.document() for bins in one.bins],
                "counts": [counts.tolist() for counts in one.reference],
            }
            for key, one in self._watched.items()
            if one.bins
        ]

    def _report(self) -> dict[str, Any]:
        found = [
            {**dict(zip(("model", "side", "tensor"), key, strict=True)), "features": one.verdicts}
            for key, one in self._watched.items()
            if one.verdicts
        ]
        return {"at": datetime.fromtimestamp(self._wall(), UTC).isoformat(), "tensors": found}


_DRIFTED = (Verdict.DRIFT.value, Verdict.SEVERE.value)


def _values(tensor: Tensor) -> Values | None:
    """Rows by features; None for what has no numbers."""
    if tensor.dtype is DType.BYTES or tensor.dtype not in NUMPY or not tensor.shape or 0 in tensor.shape:
        return None
    values = np.frombuffer(tensor.data, NUMPY[tensor.dtype]).reshape(tensor.shape[0], -1)
    return values[:, :MAX_FEATURES].astype(np.float64)


def _verdict(reference: Counts, window: Counts) -> dict[str, Any]:
    found: Verdict = verdict(reference, window)
    return {
        "verdict": found.value,
        "psi": round(stability_index(reference, window), 6),
        "js": round(distance(reference, window), 6),
        "rows": int(window.sum()),
    }


def _replace(file: Path, document: Any) -> None:
    """Another process that reads the file sees the old one or the new one, whole."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(file)


def _read(file: Path) -> dict[Key, _Watched]:
    """What an earlier run froze; raises ValueError for a file that holds something else."""
    found: dict[Key, _Watched] = {}
    try:
        told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        for one in told:
            watched = found[one["model"], one["side"], one["tensor"]] = _Watched()
            watched.bins = [Bins.read(bins) for bins in one["bins"]]
            watched.reference = [np.array(counts, np.int64) for counts in one["counts"]]
            sizes = [len(counts) for counts in watched.reference]
            if sizes != [bins.size for bins in watched.bins]:
                raise ValueError("counts do not fit the bins")
            watched.begin()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"reference: {file.name} holds none: {error}") from error
    return found
