"""A model that runs several batches at the same time: each is answered when the test (or its value) says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, BadInput, Outcome, OutputMemory, Unavailable, UpstreamCounts


class Begun(NamedTuple):
    """A batch under way, which the test ends by `done`."""

    value: float
    timeout_s: float
    done: Callable[[Outcome], None]
    was_cancelled: threading.Event

    def cancel(self) -> None:
        self.was_cancelled.set()
        self.done(Unavailable("cancelled"))


class ConcurrentLab:
    """Implements contract.LoadedModel and ConcurrentModel: X, FP32 [-1], to Y, FP32 [-1], in batches of 8."""

    REFUSED = -1.0

    def __init__(self, concurrency: int = 16) -> None:
        x, y = TensorSpec("X", DType.FP32, (-1,)), TensorSpec("Y", DType.FP32, (-1,))
        self.spec = ModelSpec("lab", 1, "", "", (x,), (y,), 8, concurrency=concurrency)
        self.begun: list[Begun] = []
        self.changed: Callable[[str], None] = print
        self.is_closed = False

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        raise AssertionError("a model with a concurrency was asked to block")

    def begin(
        self,
        inputs: Sequence[Array],
        outputs: Sequence[int],
        rows: int,
        timeout_s: float,
        done: Callable[[Outcome], None],
    ) -> Begun:
        value = float(inputs[0].ravel()[0])
        if value == self.REFUSED:
            raise BadInput("not this one")
        self.begun.append(Begun(value, timeout_s, done, threading.Event()))
        return self.begun[-1]

    def counts(self) -> UpstreamCounts:
        return UpstreamCounts("closed", len(self.begun))

    def watch(self, changed: Callable[[str], None]) -> None:
        self.changed = changed

    def close(self) -> None:
        self.is_closed = True


def answer(value: float, rows: int = 1) -> list[Array]:
    """What `done` is told of a batch that went well."""
    return [np.full((rows, 2), value, np.float32)]
