"""What hypothesis draws for strategies: anything that may wait, any policy, anything observed."""

from __future__ import annotations

from math import inf

from hypothesis import strategies as st

from gateway.core.batching import Observed, Policy, Queued, urgency

NOW = 1000.0
seconds = st.sampled_from([0.0, 0.0001, 0.001, 0.004, 0.01, 0.3, 5.0])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    max_rows = draw(st.integers(1, 12))
    sizes = draw(st.sets(st.integers(1, max_rows), max_size=3))
    return Policy(
        max_rows,
        tuple(sorted(sizes)),
        draw(seconds),
        draw(seconds),
        draw(st.integers(0, max_rows)),
        draw(st.booleans()),
    )


@st.composite
def observations(draw: st.DrawFn, least_idle: int = 0) -> Observed:
    instances = draw(st.integers(max(least_idle, 0), 4))
    return Observed(
        draw(st.integers(least_idle, max(instances, least_idle))),
        instances,
        draw(seconds),
        draw(seconds),
        draw(st.sampled_from([0.0, 0.5, 100.0, 2000.0, 1e7])),
        NOW + draw(st.sampled_from([0.0, 0.002, inf])),
    )


@st.composite
def lines(draw: st.DrawFn, policy: Policy) -> list[Queued]:
    """What waits, in the order in which strategies are given it."""
    queued = [
        Queued(
            handle,
            NOW - draw(st.floats(0, 0.05)),
            draw(st.integers(1, policy.max_rows)),
            NOW + draw(st.sampled_from([0.001, 0.02, 3.0, inf])),
            draw(st.integers(0, 2)),
            (draw(st.sampled_from("ab")),),
        )
        for handle in range(draw(st.integers(0, 14)))
    ]
    return sorted(queued, key=lambda one: urgency(one, policy))
