"""A link whose worker is the test: it sees batches and answers, fails or dies on command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.core.errors import GatewayError
from gateway.core.tensor import Buffer
from gateway.scheduling.queue import ModelQueue


class Sent(NamedTuple):
    """One batch as it was sent."""

    batch_id: int
    rows: int
    inputs: list[tuple[tuple[int, ...], bytes]]
    outputs: tuple[int, ...]


class FakeLink:
    """Collects batches; `double` answers the oldest with twice its first input (FP32)."""

    def __init__(self, worker: int, queue: ModelQueue) -> None:
        self.worker = worker
        self.queue = queue
        self.sent: list[Sent] = []

    def send(
        self,
        batch_id: int,
        rows: int,
        inputs: Sequence[tuple[tuple[int, ...], Sequence[Buffer]]],
        outputs: tuple[int, ...],
    ) -> None:
        joined = [(shape, b"".join(bytes(part) for part in parts)) for shape, parts in inputs]
        self.sent.append(Sent(batch_id, rows, joined, outputs))

    def double(self) -> Sent:
        batch = self.sent.pop(0)
        shape, data = batch.inputs[0]
        answer = (np.frombuffer(data, "<f4") * 2).astype("<f4").tobytes()
        self.queue.on_reply(self, batch.batch_id, [(shape, answer)] * len(batch.outputs), 5000, None)
        return batch

    def refuse(self, error: GatewayError) -> Sent:
        batch = self.sent.pop(0)
        self.queue.on_error(self, batch.batch_id, error)
        return batch

    def die(self) -> None:
        self.sent.clear()
        self.queue.on_lost(self)
