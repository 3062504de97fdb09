"""Micro batching: windows so short that a stream does not notice them, and none where nobody would come.

For models that are asked in small steps by many streams at once: the steps of one tick share a batch. The
window begins with the first that waits. It is left out where less than one row is expected in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.batching import Formed, Observed, Policy, Queued, rows_of
from gateway_plugins.batching.packing import Decision, Lane, form, oldest

# A frame of audio or video is 10 to 40 ms: a twentieth of that is not noticed, a half would be.
WINDOW_S = 0.001
LONGEST_WINDOW_S = 0.005


def form_batches(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    """All that came within one window: `max_delay_s`, at most 5 ms."""
    window_s = min(policy.max_delay_s or WINDOW_S, LONGEST_WINDOW_S)
    is_worth_it = observed.rows_per_s * window_s >= 1

    def decide(lane: Lane) -> Decision:
        due = oldest(lane) + window_s
        if not is_worth_it or now >= due or rows_of(lane) >= policy.max_rows:
            return Decision(policy.max_rows)
        return Decision(0, due)

    return form(queued, observed, decide)
