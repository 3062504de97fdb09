from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtimes.remote import breaker as breakers
from gateway.runtimes.remote.breaker import MOST_OPEN_S, TRANSITIONS, Breaker, Event, Policy, State

POLICY = Policy(failures=3, open_s=1.0)
HALF = 0.5  # no jitter


def fail(breaker: Breaker, now: float = 0.0) -> Breaker:
    return breakers.failed(breaker, now, POLICY, "no connection", HALF)


def probe(breaker: Breaker, trouble: str = "", now: float = 0.0) -> Breaker:
    return breakers.probed(breaker, now, POLICY, trouble, HALF)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(POLICY.failures):
        breaker = fail(breaker, now)
    return breaker


def test_the_table_is_whole() -> None:
    assert set(TRANSITIONS) == set(product(State, Event))


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = fail(fail(Breaker()))
    assert breaker.state is State.CLOSED
    assert breakers.refusal(breaker, 0.0) is None
    assert fail(fail(breakers.answered(breaker))).state is State.CLOSED  # an answer between them
    breaker = fail(breaker, now=10.0)
    assert breaker.state is State.OPEN
    assert breakers.trouble_of(breaker) == "no connection"
    assert breakers.refusal(breaker, 10.25) == pytest.approx(0.75)
    assert breakers.refusal(breaker, 99.0) == pytest.approx(0.1)  # only an answer to us closes it


def test_one_question_without_an_answer_is_not_enough() -> None:
    breaker = probe(Breaker(), "the time is over")
    assert breaker.state is State.CLOSED
    assert probe(probe(breaker), "again").state is State.CLOSED
    breaker = probe(breaker, "not ready")
    assert breaker.state is State.OPEN
    assert breakers.trouble_of(breaker) == "not ready"


def test_half_open_lets_one_request_at_a_time_find_out() -> None:
    breaker = probe(opened())
    assert breaker.state is State.HALF_OPEN
    assert breakers.trouble_of(breaker) == ""
    assert breakers.refusal(breaker, 0.0) is None
    breaker = breakers.begun(breaker)
    assert breakers.refusal(breaker, 0.0) is not None
    assert breakers.refusal(breakers.ended(breaker), 0.0) is None  # its caller has gone: the next one may
    assert breakers.answered(breaker) == Breaker()
    assert fail(breaker).state is State.OPEN
    assert probe(breaker, "not ready").state is State.OPEN


def test_it_stays_open_twice_as_long_each_time_and_not_for_ever() -> None:
    breaker, waits = opened(), []
    for _ in range(8):
        waits.append(breaker.until)
        breaker = probe(breaker, "not ready")
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, MOST_OPEN_S, MOST_OPEN_S, MOST_OPEN_S]
    assert (
        fail(fail(fail(breakers.answered(probe(breaker))))).until == 1.0
    )  # closed meanwhile: from the start


def test_whoever_begins_with_less_waits_less() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker = breakers.probed(breaker, 0.0, Policy(3, 0.1), "down", HALF)
    assert breaker.until == pytest.approx(3.2)
    breaker = breakers.probed(Breaker(failed_probes=1), 0.0, Policy(3, 60.0), "down", HALF)
    assert breakers.probed(breaker, 0.0, Policy(3, 60.0), "down", HALF).until == 60.0


def test_answers_to_what_was_sent_before_do_not_close_it() -> None:
    breaker = opened()
    assert breakers.answered(breaker) == breaker
    assert fail(breaker).state is State.OPEN
    assert fail(breaker).until == breaker.until


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "answer", "fail", "leave", "ready", "not ready"]),
        st.floats(0.0, 5.0),
        st.floats(0.0, 1.0),
    ),
    max_size=80,
)


@given(STEPS)
def test_whatever_happens_the_invariants_hold(steps: list[tuple[str, float, float]]) -> None:
    breaker, now, running = Breaker(), 0.0, 0
    for what, elapsed_s, random in steps:
        now += elapsed_s
        match what:
            case "begin":
                if breakers.refusal(breaker, now) is not None:
                    continue
                breaker, running = breakers.begun(breaker), running + 1
            case "ready" | "not ready":
                trouble = "" if what == "ready" else "down"
                breaker = breakers.probed(breaker, now, POLICY, trouble, random)
            case _ if running:
                running -= 1
                if what == "answer":
                    breaker = breakers.answered(breaker)
                elif what == "fail":
                    breaker = breakers.failed(breaker, now, POLICY, "down", random)
                else:
                    breaker = breakers.ended(breaker)
        assert breaker.trials in {0, 1}
        assert breaker.state is State.HALF_OPEN or breaker.trials == 0
        assert bool(breakers.trouble_of(breaker)) == (breaker.state is State.OPEN)
        if breaker.state is State.OPEN:
            assert breaker.until - now <= MOST_OPEN_S * 1.2
            assert breakers.refusal(breaker, now) is not None
        elif breaker.state is State.CLOSED:
            assert breaker.failures < POLICY.failures
            assert breakers.refusal(breaker, now) is None
