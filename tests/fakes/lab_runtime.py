"""A runtime whose models do what tests need: checksums, sleeps, lies, crashes.

`model.lab` in the version's folder is JSON, every key optional:

    load   {"sleep_s": 0.1} | {"fail": "text"} | {"signal": 9} | {"hang": true}
    rows   {"666": {"do": "raise"}, ...}: what to do when a batch has a row whose first value is 666;
           `do` is raise, bad_input, broken, memory_error, sleep (with "s"), wait (for "file" to exist;
           it makes "file".begun), hang, signal (with "n"), wrong_count, wrong_dtype, wrong_shape, wrong_type
    sleep  "ok": it can leave its GPU; "fail": it says so, and cannot; "stay": it cannot come back

Its model takes X, FP32 [-1], and answers CHECKSUM, INT64 [1], crc32 of the row's bytes plus the
version, so that no mix-up of rows or versions can hide, and ROW, FP32 [-1], the row itself.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, BadInput, EngineBroken, LoadError, OutputMemory

INPUTS = (TensorSpec("X", DType.FP32, (-1,)),)
OUTPUTS = (TensorSpec("CHECKSUM", DType.INT64, (1,)), TensorSpec("ROW", DType.FP32, (-1,)))
_FOREVER = threading.Event()


def checksum(row: Array, version: int) -> int:
    """What CHECKSUM must be for one row of X."""
    return zlib.crc32(np.ascontiguousarray(row, "<f4").tobytes()) + version


class LabRuntime:
    """Implements gateway.runtimes.contract.Runtime."""

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> LabModel:
        """See contract.Runtime."""
        try:
            told = json.loads((path / "model.lab").read_text())
        except (OSError, ValueError) as error:
            raise LoadError(f"no readable model.lab: {type(error).__name__}") from None
        _misbehave_at_load(told.get("load", {}))
        size = spec.max_batch_size
        if not max_batch_known and not spec.inputs and not spec.outputs:
            size = default_max_batch_size
        return LabModel(
            msgspec.structs.replace(
                spec, max_batch_size=size, inputs=spec.inputs or INPUTS, outputs=spec.outputs or OUTPUTS
            ),
            {float(value): action for value, action in told.get("rows", {}).items()},
            told.get("sleep", ""),
        )


def _misbehave_at_load(told: Mapping[str, Any]) -> None:
    if "sleep_s" in told:
        _FOREVER.wait(told["sleep_s"])
    if "signal" in told:
        signal.raise_signal(told["signal"])
    if told.get("hang"):
        _FOREVER.wait()
    if "fail" in told:
        raise LoadError(told["fail"])


class LabModel:
    """Implements gateway.runtimes.contract.LoadedModel."""

    def __init__(self, spec: ModelSpec, actions: Mapping[float, Mapping[str, Any]], sleep: str = "") -> None:
        self.spec = spec
        self._actions = actions
        self._sleep = sleep
        self._is_awake = True
        self.can_sleep = bool(sleep)

    def sleep(self) -> None:
        """See contract.SleepingModel."""
        if self._sleep == "fail":
            raise RuntimeError("it lies awake")
        self._is_awake = False

    def wake(self) -> None:
        """See contract.SleepingModel."""
        if self._sleep == "stay":
            raise RuntimeError("it sleeps on")
        self._is_awake = True

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        assert self._is_awake
        batch = inputs[0].reshape(rows, -1) if self.spec.max_batch_size else inputs[0].reshape(1, -1)
        for row in batch:
            action = self._actions.get(float(row[0])) if row.size else None
            if action is not None:
                lie = _act(action, outputs)
                if lie is not None:
                    return lie
        return [self._output(ordinal, batch, inputs[0]) for ordinal in outputs]

    def _output(self, ordinal: int, batch: Array, whole: Array) -> Array:
        if ordinal == 1:
            return whole
        sums = np.array([checksum(row, self.spec.version) for row in batch], np.int64)
        return sums.reshape(-1, 1) if self.spec.max_batch_size else sums

    def close(self) -> None:
        """Holds nothing."""


def _act(action: Mapping[str, Any], outputs: Sequence[int]) -> Sequence[Any] | None:
    match action["do"]:
        case "raise":
            raise ValueError("a poison value")
        case "bad_input":
            raise BadInput("a value the caller must not send")
        case "broken":
            raise EngineBroken("the device is lost")
        case "memory_error":
            raise MemoryError
        case "sleep":
            _FOREVER.wait(action["s"])
        case "wait":
            open(f"{action['file']}.begun", "a").close()
            while not os.path.exists(action["file"]):
                _FOREVER.wait(0.005)
        case "hang":
            _FOREVER.wait()
        case "signal":
            signal.raise_signal(action["n"])  # in this thread, as a fault would be
        case "wrong_count":
            return [np.zeros((1, 1), np.int64)] * (len(outputs) + 1)
        case "wrong_dtype":
            return [np.zeros((1, 1), np.float64)] * len(outputs)
        case "wrong_shape":
            return [np.zeros((7, 7, 7), np.int64 if one == 0 else np.float32) for one in outputs]
        case "wrong_type":
            return ["no array"] * len(outputs)
        case unknown:
            raise AssertionError(f"model.lab asks for '{unknown}'")
    return None
