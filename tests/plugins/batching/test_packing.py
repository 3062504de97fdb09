from math import inf

from gateway.core.batching import Formed, Observed, Queued
from gateway_plugins.batching.packing import Decision, form, latest_start, oldest

A, B, C = (Queued(number, 10.0 - number, rows) for number, rows in enumerate((2, 3, 1)))


def test_a_batch_is_a_head_and_at_least_one() -> None:
    idle = Observed(3, 3)
    assert form([A, B, C], idle, lambda lane: Decision(4)) == Formed(((A,), (B, C)))
    assert form([B, C], idle, lambda lane: Decision(1)) == Formed(((B,), (C,)))
    assert form([], idle, lambda lane: Decision(1)) == Formed()


def test_the_earliest_of_several_lanes_wakes() -> None:
    other = C._replace(compat="other")
    formed = form([A, other], Observed(1, 1), lambda lane: Decision(0, 20.0 - lane[0].handle))
    assert formed == Formed((), 18.0)


def test_times_of_a_lane() -> None:
    assert oldest([A, B]) == 9.0
    assert latest_start([A, B], 1.0) == inf
    assert latest_start([A, B._replace(deadline=12.0)], 1.0) == 10.0
    assert latest_start([A, B._replace(deadline=109.0)], 1.0) == 104.0
