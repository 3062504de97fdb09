from collections import deque
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import BatchPolicy
from gateway.scheduling.batching import Decision, decide, halves, oldest_lane, open_only, take
from gateway.scheduling.pending import Pending, Plan
from gateway.workers.plans import Signature
from tests.fakes.specs import row_request


def pending(rows: int = 1, arrived: float = 0.0) -> Pending:
    made = Pending(row_request(1.0, rows=rows), lambda _: None, lambda *_: None, arrived, inf)
    made.plan = Plan(rows, (0,), Signature((), (0,)), ())
    return made


@pytest.mark.parametrize(
    ("waiting", "waited", "policy", "expected"),
    [
        (3, 0.0, BatchPolicy(), Decision(3, inf)),
        (9, 0.0, BatchPolicy(), Decision(8, inf)),
        (3, 0.0, BatchPolicy(max_queue_delay_s=0.01), Decision(0, 100.01)),
        (3, 0.02, BatchPolicy(max_queue_delay_s=0.01), Decision(3, inf)),
        (8, 0.0, BatchPolicy(max_queue_delay_s=0.01), Decision(8, inf)),
        (5, 0.0, BatchPolicy(preferred_sizes=(2, 4), max_queue_delay_s=0.01), Decision(4, inf)),
        (1, 0.0, BatchPolicy(preferred_sizes=(2, 4), max_queue_delay_s=0.01), Decision(0, 100.01)),
        (1, 0.02, BatchPolicy(preferred_sizes=(2, 4), max_queue_delay_s=0.01), Decision(1, inf)),
        (1, 0.0, BatchPolicy(preferred_sizes=(2, 4)), Decision(1, inf)),
    ],
)
def test_what_may_go_now(waiting: int, waited: float, policy: BatchPolicy, expected: Decision) -> None:
    assert decide(100.0 + waited, waiting, 100.0, policy, 8) == expected


@given(
    waiting=st.integers(1, 100),
    waited=st.floats(0, 1),
    delay=st.floats(0, 1),
    preferred=st.lists(st.integers(1, 16), max_size=3),
)
def test_something_goes_or_a_wake_up_is_set(
    waiting: int, waited: float, delay: float, preferred: list[int]
) -> None:
    policy = BatchPolicy(preferred_sizes=tuple(preferred), max_queue_delay_s=delay)
    rows, wake_at = decide(waited, waiting, 0.0, policy, 16)
    assert 0 <= rows <= min(waiting, 16)
    assert (rows == 0) == (wake_at < inf)
    assert rows or wake_at > waited


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20), limit=st.integers(1, 8))
def test_taking_keeps_the_order_and_the_limit(sizes: list[int], limit: int) -> None:
    lane = deque(pending(rows) for rows in sizes)
    everyone = list(lane)
    seen: list[Pending] = []
    while lane:
        members = take(lane, limit, 0.0)
        rows = sum(member.plan.rows for member in members)
        assert rows <= limit or len(members) == 1
        seen += members
    assert seen == everyone


def test_the_closed_are_left_behind() -> None:
    lane = deque([pending(), pending(), pending()])
    kept = [lane[1]]
    lane[0].cancel()
    lane[2].cancel()
    assert take(lane, 8, 0.0) == kept
    assert open_only([kept[0]]) == kept


def test_the_lane_that_waited_longest_is_served_first() -> None:
    late, early = deque([pending(arrived=2.0)]), deque([pending(arrived=1.0), pending(arrived=5.0)])
    assert oldest_lane({(1,): late, (2,): early}) is early
    assert oldest_lane({}) is None


def test_halves_are_disjoint_and_complete() -> None:
    members = [pending() for _ in range(5)]
    left, right = halves(members)
    assert [*left, *right] == members
    assert left
    assert right


def test_the_expired_are_failed_and_do_not_run() -> None:
    late, fine = pending(), pending()
    late.deadline = 5.0
    assert take(deque([late, fine]), 8, 5.0) == [fine]
    assert not late.is_open
