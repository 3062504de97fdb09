"""Exactly so many rows, or what a flush and a deadline leave no time for."""

from gateway.core.batching import Formed, Observed, Policy, Queued
from gateway_plugins.batching.static import form_batches

NOW = 100.0
IDLE = Observed(1, 1, per_row_s=0.5, per_batch_s=1.0)
A, B, C = (Queued(number, NOW - 1) for number in range(3))


def test_it_waits_for_exactly_so_many() -> None:
    policy = Policy(8, size=2)
    assert form_batches(NOW, [A], policy, IDLE) == Formed()
    assert form_batches(NOW, [A, B, C], policy, IDLE) == Formed(((A, B),))
    assert form_batches(NOW, [A, B], Policy(3), IDLE) == Formed(), "without a size it is the largest"


def test_the_flush_forms_what_is_there() -> None:
    policy = Policy(8, size=4, max_delay_s=3.0)
    assert form_batches(NOW, [A, B], policy, IDLE) == Formed((), A.arrived + 3.0)
    assert form_batches(A.arrived + 3.0, [A, B], policy, IDLE) == Formed(((A, B),))


def test_a_deadline_forms_what_is_there_as_long_as_it_can_be_met() -> None:
    policy = Policy(8, size=4)
    urgent = B._replace(deadline=NOW + 10)
    # Two rows take 2 s; twice of that is left.
    assert form_batches(NOW, [A, urgent], policy, IDLE) == Formed((), NOW + 6)
    assert form_batches(NOW + 6, [A, urgent], policy, IDLE) == Formed(((A, urgent),))
    unknown = Observed(1, 1)
    assert form_batches(NOW, [urgent], policy, unknown).wake_at == NOW + 10 - 0.05 * 11


def test_a_request_is_not_split_to_make_it_exact() -> None:
    wide = C._replace(rows=3)
    assert form_batches(NOW, [A, wide], Policy(8, size=3), IDLE) == Formed(((A,),))
