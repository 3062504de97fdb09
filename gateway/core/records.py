"""What is known of a request once it is over: the source of metrics, logs, burn rates and verdicts."""

from __future__ import annotations

import msgspec

from gateway.core.errors import Reason


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """One request, one record, whatever became of it. Times in seconds.

    `model` is "" where the name was unknown or never understood, so that callers cannot make new
    label values. `reason` None is success. `batch_rows` 0: it never ran.
    """

    model: str
    version: int
    protocol: str
    reason: Reason | None
    duration_s: float
    queue_s: float = 0.0
    compute_s: float = 0.0
    rows: int = 0
    batch_rows: int = 0
    is_cold: bool = False
