"""Which priority counts."""

from __future__ import annotations

import pytest

from gateway_plugins.limits.priority import LOWEST, SHARES, effective


@pytest.mark.parametrize(
    ("said", "floor", "default", "counts"),
    [
        (0, 0, 1, 1),  # says nothing
        (0, 0, 3, 3),
        (1, 0, 3, 1),
        (5, 0, 1, 5),
        (1, 4, 1, 4),  # may not be that urgent
        (0, 4, 1, 4),
        (6, 4, 1, 6),
        (4_000_000_000, 0, 1, 8),
        (-3, 0, 1, 1),
    ],
)
def test_the_priority_that_counts(said: int, floor: int, default: int, counts: int) -> None:
    assert effective(said, floor, default) == counts


def test_the_first_may_fill_the_limit_and_each_later_one_less() -> None:
    assert SHARES[1] == 1.0
    assert sorted(SHARES[1:], reverse=True) == list(SHARES[1:])
    assert len(set(SHARES[1:])) == LOWEST
    assert SHARES[LOWEST] == pytest.approx(0.3)
