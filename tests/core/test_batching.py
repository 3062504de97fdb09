"""The rules of batching, each broken once."""

from __future__ import annotations

from math import inf, nan

import pytest

from gateway.core.batching import NOTHING, Formed, Observed, Policy, Queued, broken_rule, urgency

POLICY = Policy(max_rows=4)
TWO_IDLE = Observed(idle=2, instances=2)
A, B, C = (Queued(number, float(number), 2) for number in range(3))
OTHER = Queued(9, 0.5, 1, compat=("other",))
QUEUED = (A, OTHER, B, C)


@pytest.mark.parametrize(
    ("formed", "fault"),
    [
        (NOTHING, ""),
        (Formed(((A, B), (C,))), ""),
        (Formed(((A,), (B, C)), wake_at=11.0), ""),
        (Formed(((OTHER,), (A, B))), ""),
        (Formed(((A,), (B,), (C,))), "it formed 3 batches for 2 idle instances"),
        (Formed((), wake_at=10.0), "it wants to be asked again at once"),
        (Formed((), wake_at=nan), "it wants to be asked again at once"),
        (Formed(((A,), ())), "it formed an empty batch"),
        (Formed(((A, OTHER),)), "it put requests in one batch that cannot share one"),
        (Formed(((A, B, C),)), "it formed a batch of 6 rows where 4 are the most"),
        (Formed(((B,),)), "it let one overtake another, or run twice"),
        (Formed(((B, A),)), "it let one overtake another, or run twice"),
        (Formed(((A, A),)), "it let one overtake another, or run twice"),
        (Formed(((A, B), (C._replace(rows=1),))), "it let one overtake another, or run twice"),
        (Formed(((OTHER,), (OTHER,))), "it named one that does not wait, or one twice"),
        (Formed(((Queued(7, 0.0, compat=("third",)),),)), "it named one that does not wait, or one twice"),
    ],
)
def test_each_rule(formed: Formed, fault: str) -> None:
    assert broken_rule(10.0, QUEUED, POLICY, TWO_IDLE, formed) == fault


def test_no_answer_is_a_broken_rule() -> None:
    assert broken_rule(10.0, QUEUED, POLICY, TWO_IDLE, None) == "it answered with NoneType"


def test_the_order_is_by_priority_then_by_deadline_where_told_then_by_arrival() -> None:
    first, second = Queued(1, 1.0, deadline=9.0), Queued(2, 2.0, deadline=5.0)
    urgent = Queued(3, 3.0, deadline=inf, priority=-1)
    waiting = [second, first, urgent]
    assert sorted(waiting, key=lambda one: urgency(one, POLICY)) == [urgent, first, second]
    by_deadline = POLICY._replace(by_deadline=True)
    assert sorted(waiting, key=lambda one: urgency(one, by_deadline)) == [urgent, second, first]


def test_the_cost_of_a_batch() -> None:
    assert not TWO_IDLE.is_cost_known
    known = TWO_IDLE._replace(per_row_s=0.25, per_batch_s=1.0)
    assert known.is_cost_known
    assert known.run_s(4) == 2.0
