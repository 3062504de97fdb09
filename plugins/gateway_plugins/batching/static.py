"""Static batching: exactly so many rows, however long that takes; for offline work and fixed shapes.

What is there goes before it is enough where a deadline would be missed else, or once the first has waited
`max_delay_s` (the flush; 0 is never). A batch has fewer rows than `size` too where the next request has more
rows than are left: none is split.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gateway.core.batching import Formed, Observed, Policy, Queued, rows_of
from gateway_plugins.batching.packing import Decision, Lane, form, latest_start, oldest


def form_batches(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    """Batches of `size` rows, and what cannot wait any longer."""
    size = min(policy.size or policy.max_rows, policy.max_rows)
    flush_s = policy.max_delay_s or inf

    def decide(lane: Lane) -> Decision:
        rows = rows_of(lane)
        if rows >= size:
            return Decision(size)
        due = min(oldest(lane) + flush_s, latest_start(lane, observed.run_s(rows)))
        return Decision(size) if now >= due else Decision(0, due)

    return form(queued, observed, decide)
