from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtimes.remote import retrying
from gateway.runtimes.remote.retrying import FLOOR_PER_S, MOST, MOST_WAIT_S, RATIO, Budget, Failure


def wait(failure: Failure, *, tokens: float = 5.0, left_s: float = inf, random: float = 0.5) -> float | None:
    return retrying.wait_s(failure, Budget(tokens), most_retries=2, left_s=left_s, random=random)


@pytest.mark.parametrize(
    ("failure", "tokens", "left_s", "expected"),
    [
        (Failure(1, True), 5.0, inf, 0.05),
        (Failure(2, True), 5.0, inf, 0.1),
        (Failure(3, True), 5.0, inf, None),  # two retries are all
        (Failure(1, False), 5.0, inf, None),  # it may have run
        (Failure(1, True), 0.9, inf, None),  # the budget is spent
        (Failure(1, True), 1.0, inf, 0.05),
        (Failure(1, True), 5.0, 0.05, None),  # nothing would be left to run in
        (Failure(1, True), 5.0, 0.06, 0.05),
        (Failure(1, True, 0.7), 5.0, inf, 0.7),  # as the upstream wants it
        (Failure(1, True, 0.01), 5.0, inf, 0.05),
        (Failure(1, True, 3.0), 5.0, 2.0, None),
    ],
)
def test_when_it_is_sent_again(
    failure: Failure, tokens: float, left_s: float, expected: float | None
) -> None:
    assert wait(failure, tokens=tokens, left_s=left_s) == expected


def test_waits_are_spread() -> None:
    assert wait(Failure(1, True), random=0.0) == pytest.approx(0.04)
    assert wait(Failure(1, True), random=1.0) == pytest.approx(0.06)
    many = retrying.wait_s(Failure(9, True), Budget(5.0), most_retries=9, left_s=inf, random=1.0)
    assert many == pytest.approx(MOST_WAIT_S * 1.2)


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.booleans()), max_size=300))
def test_retries_are_never_more_than_their_share(events: list[tuple[float, bool]]) -> None:
    budget, now, retries = Budget(), 0.0, 0
    first = budget.tokens
    for requests, (elapsed_s, wants_retry) in enumerate(events, 1):
        now += elapsed_s
        budget = retrying.earned(budget, now)
        if wants_retry and wait_for(budget) is not None:
            budget, retries = retrying.spent(budget), retries + 1
        assert 0.0 <= budget.tokens <= MOST
        assert retries <= first + RATIO * requests + FLOOR_PER_S * now + 1e-6


def wait_for(budget: Budget) -> float | None:
    return retrying.wait_s(Failure(1, True), budget, most_retries=1, left_s=inf, random=0.5)


def test_a_clock_that_stands_still_earns_the_share_alone() -> None:
    assert retrying.earned(Budget(1.0, 5.0), 5.0) == Budget(1.2, 5.0)
    assert retrying.earned(Budget(1.0, 5.0), 4.0).tokens == 1.2
    assert retrying.earned(Budget(MOST, 5.0), 50.0) == Budget(MOST, 50.0)
