from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.sequence import SequenceBatching
from gateway.scheduling.sequence_batches import Take, decide_direct, decide_oldest
from tests.fakes.turns import turn_of


def times(take: Take) -> tuple[list[float], float]:
    return [turn.pending.arrived for turn in take.turns], take.wake_at


def test_direct_sends_whatever_is_there_in_the_order_of_its_slots() -> None:
    heads = [turn_of(1.0, slot=2), turn_of(2.0, slot=0), turn_of(3.0, slot=1, compat=9)]
    assert times(decide_direct(5.0, heads, 4, SequenceBatching())) == ([2.0, 1.0], inf)


@pytest.mark.parametrize(
    ("now", "ready", "sent", "wake_at"),
    [(1.0, 1, 0, 1.5), (1.4, 1, 0, 1.5), (1.5, 1, 1, inf), (1.0, 2, 2, inf), (1.0, 3, 3, inf)],
)
def test_direct_waits_until_enough_slots_have_a_request(
    now: float, ready: int, sent: int, wake_at: float
) -> None:
    batching = SequenceBatching(max_queue_delay_s=0.5, min_utilization=0.5)
    heads = [turn_of(1.0 + slot / 100, slot=slot) for slot in range(ready)]
    take = decide_direct(now, heads, 4, batching)
    assert (len(take.turns), take.wake_at) == (sent, wake_at)


@pytest.mark.parametrize(
    ("batching", "now", "count", "sent", "wake_at"),
    [
        (SequenceBatching(max_candidates=9), 1.0, 3, 3, inf),
        (SequenceBatching(max_candidates=9), 1.0, 7, 4, inf),
        (SequenceBatching(max_candidates=9, max_queue_delay_s=0.5), 1.0, 3, 0, 1.5),
        (SequenceBatching(max_candidates=9, max_queue_delay_s=0.5), 1.5, 3, 3, inf),
        (SequenceBatching(max_candidates=9, max_queue_delay_s=0.5, preferred_sizes=(2,)), 1.0, 3, 2, inf),
    ],
)
def test_oldest_batches_as_the_dynamic_batcher_does(
    batching: SequenceBatching, now: float, count: int, sent: int, wake_at: float
) -> None:
    heads = [turn_of(1.0 + slot / 1000, slot=slot) for slot in range(count)]
    take = decide_oldest(now, heads[::-1], 4, batching)
    assert (take.turns, take.wake_at) == (heads[:sent], wake_at)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=8),
    st.floats(0, 20),
    st.sampled_from([0.0, 3.0]),
    st.booleans(),
)
def test_the_oldest_always_goes_once_its_delay_is_over(
    arrivals: list[tuple[int, int]], now: float, delay_s: float, is_direct: bool
) -> None:
    heads = [
        turn_of(float(arrived), slot=slot, compat=compat) for slot, (arrived, compat) in enumerate(arrivals)
    ]
    oldest = min(float(arrived) for arrived, _ in arrivals)
    batching = SequenceBatching(max_queue_delay_s=delay_s, min_utilization=1.0, max_candidates=8)
    take = decide_direct(now, heads, 8, batching) if is_direct else decide_oldest(now, heads, 8, batching)
    assert len({turn.pending.plan.compat for turn in take.turns}) <= 1
    if now >= oldest + delay_s:
        assert oldest in {turn.pending.arrived for turn in take.turns}
    if not take.turns:
        assert now < take.wake_at <= oldest + delay_s
