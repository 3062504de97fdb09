"""Triton's rules: the same decision as that of the queue's own batcher for one lane."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.batching import Formed, Observed, Policy, Queued
from gateway.core.model import BatchPolicy
from gateway.scheduling.batching import decide
from gateway_plugins.batching.dynamic import form_batches
from tests.plugins.batching.waiting import NOW, policies

IDLE = Observed(1, 1)


@given(policies(), st.lists(st.floats(0, 0.02), min_size=1, max_size=20))
def test_for_one_lane_it_decides_as_the_queue_does(policy: Policy, waited: list[float]) -> None:
    queued = [Queued(place, NOW - ago) for place, ago in enumerate(sorted(waited, reverse=True))]
    own = BatchPolicy(preferred_sizes=policy.preferred_sizes, max_queue_delay_s=policy.max_delay_s)
    decision = decide(NOW, len(queued), queued[0].arrived, own, policy.max_rows)
    formed = form_batches(NOW, queued, policy, IDLE)
    assert sum(map(len, formed.batches)) == decision.rows
    assert formed.wake_at == decision.wake_at


def test_a_full_lane_does_not_wait_behind_one_that_is_not_due() -> None:
    early = Queued(1, NOW - 0.002, compat="a")
    full = [Queued(place, NOW, compat="b") for place in (2, 3)]
    formed = form_batches(NOW, [early, *full], Policy(2, max_delay_s=0.005), IDLE)
    assert formed == Formed((tuple(full),), early.arrived + 0.005)


def test_the_most_urgent_lane_is_served_first_and_another_before_its_second_batch() -> None:
    a1, b1, a2, a3 = (Queued(place, NOW, compat=lane) for place, lane in enumerate("abaa"))
    formed = form_batches(NOW, [a1, b1, a2, a3], Policy(2), Observed(2, 2))
    assert formed.batches == ((a1, a2), (b1,))
    formed = form_batches(NOW, [a1, b1, a2, a3], Policy(1), Observed(3, 3))
    assert formed.batches == ((a1,), (b1,), (a2,))
