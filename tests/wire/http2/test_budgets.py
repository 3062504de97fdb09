from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.http2.budgets import QUICK_RESET_S, Budgets, TokenBucket
from gateway.wire.http2.frames import ConnectionFault, ErrorCode
from gateway.wire.settings import WireSettings


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 3))))
def test_no_more_than_burst_and_rate(steps: list[tuple[float, float]]) -> None:
    bucket, now, taken = TokenBucket(5, 2, 0.0), 0.0, 0.0
    for wait, cost in steps:
        now += wait
        taken += cost * bucket.take(now, cost)
        assert taken <= 5 + 2 * now + 1e-6


def test_a_full_bucket_stays_full() -> None:
    bucket = TokenBucket(3, 1, 0.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(101.0)


def spend(count: int, pay: object) -> int:
    """How often `pay` can be called before it is too much."""
    assert callable(pay)
    done = 0
    with suppress(ConnectionFault):
        while done < count:
            pay()
            done += 1
    return done


@pytest.mark.parametrize(("age", "allowed"), [(0.0, 100), (QUICK_RESET_S, 800), (1.0, 800)])
def test_resets_cost_by_age(age: float, allowed: int) -> None:
    budgets = Budgets(WireSettings(http2_reset_burst=100), 0.0)
    assert spend(2000, lambda: budgets.pay_reset(0.0, age)) == allowed


def test_attendance_is_free_with_work() -> None:
    budgets = Budgets(WireSettings(http2_control_burst=10), 0.0)
    assert spend(10_000, lambda: budgets.pay_attendance(0.0, 100)) == 64 + 4 * 100 + 10
    assert spend(100, lambda: budgets.pay_control(0.0)) == 0
    assert spend(100, lambda: budgets.pay_attendance(0.0, 101)) == 4
    assert spend(20_000, lambda: budgets.pay_refusal(0.0)) == 8000
    with pytest.raises(ConnectionFault) as caught:
        budgets.pay_refusal(0.0)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
