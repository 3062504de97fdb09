"""Dynamic batching by Triton's rules: preferred sizes and a longest delay; what the queue does by itself too.

The largest preferred size that is there goes at once; short of any, rows wait for company until the first has
waited `max_delay_s`, and with a delay of 0 never.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.batching import Formed, Observed, Policy, Queued, rows_of
from gateway_plugins.batching.packing import Decision, Lane, form, oldest


def form_batches(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    """Batches of the preferred sizes, and what has waited long enough."""
    max_rows = policy.max_rows

    def decide(lane: Lane) -> Decision:
        rows = rows_of(lane)
        if rows >= max_rows:
            return Decision(max_rows)
        if reachable := [size for size in policy.preferred_sizes if size <= rows]:
            return Decision(max(reachable))
        due = oldest(lane) + policy.max_delay_s
        return Decision(rows) if now >= due else Decision(0, due)

    return form(queued, observed, decide)
