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

    @property
    def is_never_called(self) -> bool:
        """True where every number is 0."""
        return not (self.success.count or self.fail.count or self.execution_count)
