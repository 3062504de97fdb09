"""A plugin is left alone after five failures within half a minute, and tried again after another half."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.hooks.breaker import FAILURES, OPEN_S, WINDOW_S, Breaker


def failing(times: list[float]) -> tuple[Breaker, list[bool]]:
    breaker = Breaker()
    return breaker, [breaker.failed(at) for at in times]


def test_the_fifth_failure_in_the_window_opens_it() -> None:
    breaker, opened = failing([0.0, 1.0, 2.0, 3.0, 4.0])
    assert opened == [False, False, False, False, True]
    assert not breaker.permits(4.0 + OPEN_S - 0.01)


def test_failures_that_are_far_apart_open_nothing() -> None:
    breaker, opened = failing([number * (WINDOW_S / (FAILURES - 1) + 0.1) for number in range(50)])
    assert not any(opened)
    assert not breaker.is_open


def test_one_call_tries_it_and_the_others_wait_for_what_becomes_of_that() -> None:
    breaker, _ = failing([0.0] * FAILURES)
    assert [breaker.permits(OPEN_S) for _ in range(3)] == [True, False, False]
    breaker.went_well()
    assert not breaker.is_open
    assert breaker.permits(OPEN_S)


def test_a_trial_that_fails_opens_it_again() -> None:
    breaker, _ = failing([0.0] * FAILURES)
    assert breaker.permits(OPEN_S)
    assert not breaker.failed(OPEN_S + 1)
    assert not breaker.permits(OPEN_S + 1 + OPEN_S - 0.01)
    assert breaker.permits(OPEN_S + 1 + OPEN_S)


def test_a_trial_of_which_nothing_is_heard_is_repeated() -> None:
    breaker, _ = failing([0.0] * FAILURES)
    assert breaker.permits(OPEN_S)
    assert breaker.permits(2 * OPEN_S)


@given(st.lists(st.floats(0, 10), max_size=60))
def test_however_it_fails_few_calls_reach_it_while_it_is_open(gaps: list[float]) -> None:
    breaker, now, reached = Breaker(), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if breaker.permits(now):
            reached.append(now)
            breaker.failed(now)
    for index in range(FAILURES, len(reached)):
        if reached[index - 1] - reached[index - FAILURES] <= WINDOW_S:
            assert reached[index] - reached[index - 1] >= OPEN_S or index < FAILURES
