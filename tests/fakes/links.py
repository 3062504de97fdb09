"""A link whose worker is the test: it sees batches and answers, fails or dies on command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.scheduling.queues import Queue
from gateway.workers.frames import Failure, part_cost
from gateway.workers.plans import Signature


class Sent(NamedTuple):
    """One batch as it was sent."""

    batch_id: int
    rows: int
    signature: Signature
    inputs: list[bytes]


class FakeLink:
    """Collects batches; `double` answers the oldest with twice its first input (FP32)."""

    def __init__(self, worker_id: int, queue: Queue) -> None:
        self.worker_id = worker_id
        self.queue = queue
        self.sent: list[Sent] = []
        self.is_closed = False
        self.granted: list[tuple[int, int]] = []
        self.stopped: list[int] = []
        self.limits: list[tuple[int, float]] = []

    @property
    def in_flight(self) -> int:
        return len(self.sent)

    def send(self, batch_id: int, rows: int, signature: Signature, parts: Sequence[Sequence[Buffer]]) -> None:
        self.sent.append(Sent(batch_id, rows, signature, [b"".join(map(bytes, some)) for some in parts]))

    def double(self) -> Sent:
        batch = self.sent.pop(0)
        shape = batch.signature.inputs[0][1]
        if self.queue.spec.max_batch_size:
            shape = (batch.rows, *shape)
        answer = (np.frombuffer(batch.inputs[0], "<f4") * 2).astype("<f4").tobytes()
        outputs = ((shape, answer),) * len(batch.signature.outputs)
        if len(batch.signature.outputs) > len(self.queue.spec.outputs):  # a stateful model's faults: none
            outputs = (*outputs[:-1], ((batch.rows, 1), bytes(4 * batch.rows)))
        self.queue.on_reply(self, batch.batch_id, outputs, (0, 5000, 0), None)
        return batch

    def part(self, value: float = 1.0, lease: Lease | None = None) -> None:
        """One answer to the oldest batch, which goes on."""
        batch = self.sent[0]
        data = np.full(2, value, "<f4").tobytes()
        shape = (1, 2) if self.queue.spec.max_batch_size else (2,)
        self.queue.on_part(self, batch.batch_id, ((shape, data),), part_cost(len(data)), lease)

    def end(self) -> None:
        """The oldest batch has all its answers."""
        self.queue.on_end(self, self.sent.pop(0).batch_id, 7000)

    def grant(self, batch_id: int, size: int) -> None:
        self.granted.append((batch_id, size))

    def limit(self, batch_id: int, timeout_s: float) -> None:
        self.limits.append((batch_id, timeout_s))

    def stop(self, batch_id: int) -> None:
        self.stopped.append(batch_id)

    def refuse(self, failure: Failure = Failure.MODEL_FAILED) -> Sent:
        batch = self.sent.pop(0)
        self.queue.on_error(self, batch.batch_id, failure, "raised")
        return batch

    def die(self) -> None:
        lost = tuple(batch.batch_id for batch in self.sent)
        self.sent.clear()
        self.queue.on_lost(self, "", lost)

    def close(self) -> None:
        self.is_closed = True


class FakeEvents:
    """Remembers which instances were reported."""

    def __init__(self) -> None:
        self.suspects: list[int] = []
        self.lost: list[int] = []

    def on_suspect(self, worker_id: int, reason: str) -> None:
        self.suspects.append(worker_id)

    def on_lost(self, worker_id: int, reason: str) -> None:
        self.lost.append(worker_id)
