"""No batching: every request alone, as soon as an instance is idle."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.batching import Formed, Observed, Policy, Queued


def form_batches(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    """The most urgent ones, each a batch."""
    return Formed(tuple((one,) for one in queued[: max(observed.idle, 0)]))
