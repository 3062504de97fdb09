"""What was counted of one model version, over all protocols and processes; durations are nanoseconds."""

from __future__ import annotations

import msgspec


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """How often something was done, and what that took altogether."""

    count: int = 0
    ns: int = 0


class BatchStatistics(msgspec.Struct, frozen=True, array_like=True):
    """Batches of one size; every one is counted once, whatever number of requests shared it."""

    batch_size: int
    compute_input: Spent
    compute_infer: Spent
    compute_output: Spent


class ResponseStatistics(msgspec.Struct, frozen=True, array_like=True):
    """Answers of one index (0 is the first) of a model that may give any number of them.

    A duration is that since the answer before, or since a worker was given the request; what part of it
    was for outputs is not known. `empty`: requests that ended without any answer. `index` is the highest
    for all that follow it, too.
    """

    index: int
    success: Spent = Spent()
    fail: Spent = Spent()
    empty: Spent = Spent()
    cancel: Spent = Spent()


class MemoryUsage(msgspec.Struct, frozen=True, array_like=True):
    """Memory that is held for a model version, and given back with its processes."""

    kind: str
    device: int
    size_bytes: int


class VersionStatistics(msgspec.Struct, frozen=True, array_like=True):
    """Requests of one model version, and the batches they ran in; sizes ascending.

    `queue` and the three of compute are those of answered requests: a batch's durations count once for
    each request that shared it. `inference_count` are their rows, `execution_count` all batches.
    """

    name: str
    version: int
    last_inference_ms: int = 0  # since 1970; 0 before the first
    inference_count: int = 0
    execution_count: int = 0
    success: Spent = Spent()
    fail: Spent = Spent()
    queue: Spent = Spent()
    compute_input: Spent = Spent()
    compute_infer: Spent = Spent()
    compute_output: Spent = Spent()
    batches: tuple[BatchStatistics, ...] = ()
    responses: tuple[ResponseStatistics, ...] = ()
    memory: tuple[MemoryUsage, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True where every number is 0: it was never called, and is not loaded."""
        return not (self.success.count or self.fail.count or self.execution_count or self.memory)
