"""Windows of a millisecond, and none where nobody is expected."""

import pytest

from gateway.core.batching import Formed, Observed, Policy, Queued
from gateway_plugins.batching.micro import form_batches

NOW = 100.0
ONE = Queued(1, NOW)
BUSY = Observed(1, 1, rows_per_s=2000.0)


@pytest.mark.parametrize(
    ("delay_s", "rows_per_s", "window_s"),
    [(0.0, 2000.0, 0.001), (0.003, 400.0, 0.003), (1.0, 250.0, 0.005), (0.0, 900.0, 0.0), (1.0, 0.0, 0.0)],
)
def test_the_window(delay_s: float, rows_per_s: float, window_s: float) -> None:
    formed = form_batches(NOW, [ONE], Policy(8, max_delay_s=delay_s), BUSY._replace(rows_per_s=rows_per_s))
    assert formed == (Formed((), NOW + window_s) if window_s else Formed(((ONE,),)))


def test_all_of_one_window_share_a_batch_and_a_full_one_goes_at_once() -> None:
    two = Queued(2, NOW + 0.0009)
    assert form_batches(NOW + 0.001, [ONE, two], Policy(8), BUSY) == Formed(((ONE, two),))
    assert form_batches(NOW, [ONE, two], Policy(2), BUSY) == Formed(((ONE, two),))
