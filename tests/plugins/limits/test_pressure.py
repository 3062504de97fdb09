"""What a model's records teach, and who is refused for it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.caller import ANYBODY, Caller
from gateway.core.errors import Overloaded, Reason
from gateway.core.records import RequestRecord
from gateway_plugins.limits.pressure import TOO_LATE, TOO_MANY, TOO_OFTEN, Pressure
from gateway_plugins.limits.settings import LimitsSettings

AGAIN = Caller(None, ((b"x-retry-attempt", b"1"),))
ADAPTIVE = {"adaptive": {"enabled": True, "min": 2, "initial": 10}}
CODEL = {"codel": {"enabled": True}}
STORM = {"retry_storm": {"enabled": True}}


def pressure(*sections: dict[str, Any]) -> Pressure:
    settings: dict[str, Any] = {}
    for section in sections:
        settings |= section
    return Pressure(LimitsSettings.model_validate(settings))


def record(
    reason: Reason | None = None, spent_s: float = 0.05, wait_s: float = 0.0, **more: Any
) -> RequestRecord:
    fields = {"batch_rows": 1 if reason is None else 0, "rows": 1, **more}
    return RequestRecord("m", 1, "rest", reason, spent_s, wait_s, **fields)


def refusal(of: Pressure, now: float = 0.0, priority: int = 1, caller: Caller = ANYBODY) -> str:
    """The text of the refusal; "" where there is none."""
    try:
        of.check("m", priority, caller, now)
    except Overloaded as error:
        return error.text
    return ""


# ---- the adaptive limit -------------------------------------------------------------------------


def test_a_model_of_which_nothing_is_known_is_not_limited() -> None:
    of = pressure(ADAPTIVE)
    for _ in range(100):
        of.counters.enter("m")
    assert refusal(of) == ""
    of.record(record(), 0.0)
    assert refusal(of) == TOO_MANY


@pytest.mark.parametrize(("priority", "fit"), [(1, 10), (2, 9), (3, 8), (8, 3)])
def test_each_step_of_priority_leaves_a_tenth(priority: int, fit: int) -> None:
    of = pressure(ADAPTIVE)
    of.record(record(), 0.0)
    inside = 0
    while not refusal(of, priority=priority):
        of.counters.enter("m")
        inside += 1
    assert inside == fit


def test_one_at_a_time_always_fits() -> None:
    of = pressure({"adaptive": {"enabled": True, "min": 1, "initial": 1}})
    of.record(record(), 0.0)
    assert refusal(of, priority=8) == ""


def learnt(of: Pressure, what: RequestRecord, seconds: int = 40) -> float:
    """The most that fit after records of that kind, with the limit always full."""
    of.record(record(), 0.0)
    for tick in range(seconds * 20):
        while not refusal(of):
            of.counters.enter("m")
        of.record(what, tick / 20)
    return of.counters.of("m")


@pytest.mark.parametrize(
    "what",
    [
        record(spent_s=30.0, is_cold=True),
        record(Reason.MODEL_FAILED, 1e-5),
        record(Reason.OVERLOADED, 0.0),
        record(Reason.CANCELLED, 20.0),
        record(Reason.INVALID_INPUT, 0.0),
        record(spent_s=1e-4, batch_rows=0),
    ],
)
def test_what_says_nothing_of_the_model_teaches_nothing(what: RequestRecord) -> None:
    assert learnt(pressure(ADAPTIVE), what) == 10


def test_answers_in_good_time_let_more_in() -> None:
    assert learnt(pressure(ADAPTIVE), record()) > 20


def test_requests_given_up_after_long_let_less_in() -> None:
    of = pressure(ADAPTIVE)
    most = learnt(of, record())
    for tick in range(600):
        of.counters.leave("m")
        while not refusal(of, 50.0):
            of.counters.enter("m")
        of.record(record(Reason.DEADLINE_EXCEEDED, 5.0), 50.0 + tick / 20)
    assert of.counters.of("m") < most / 2


def test_a_low_priority_that_is_refused_shows_that_the_limit_is_full() -> None:
    of = pressure(ADAPTIVE)
    of.record(record(), 0.0)
    for tick in range(8000):  # only priority 8, which may fill three tenths; the knee is at 4
        while not refusal(of, priority=8):
            of.counters.enter("m")
        of.record(record(spent_s=0.05 * max(1.0, of.counters.of("m") / 4)), tick / 20)
        of.counters.leave("m")
    assert 4 < of.counters.of("m") < 10


def test_a_limit_that_is_not_filled_any_more_stays() -> None:
    of = pressure(ADAPTIVE)
    learnt(of, record())
    while of.counters.of("m"):
        of.counters.leave("m")
    of.record(record(), 50.0)
    for tick in range(1000):
        assert not refusal(of)
        of.record(record(), 100.0 + tick / 20)
    most = 0
    while not refusal(of):
        of.counters.enter("m")
        most += 1
    assert most < 45


def test_each_model_has_its_own_limit() -> None:
    of = pressure({"adaptive": {"enabled": True, "models": ["m*"], "initial": 4}})
    for name in ("m", "other"):
        of.record(RequestRecord(name, 1, "rest", None, 0.05, batch_rows=1), 0.0)
        for _ in range(4):
            of.counters.enter(name)
    assert refusal(of) == TOO_MANY
    of.check("other", 1, ANYBODY, 0.0)


# ---- standing queues ----------------------------------------------------------------------------


def standing(of: Pressure) -> Pressure:
    for tick in range(5):
        of.record(record(wait_s=0.3), tick / 10)
    return of


def test_a_standing_queue_is_shed_for_lowest_first() -> None:
    of = standing(pressure(CODEL))
    of.record(record(wait_s=0.01), 0.35)
    assert refusal(of, 0.4) == ""
    of = standing(pressure(CODEL))
    assert [refusal(of, 0.4, priority) for priority in (5, 1, 5)] == [TOO_LATE, "", ""]
    assert [refusal(of, 0.65, priority) for priority in (1, 5)] == ["", TOO_LATE]


@pytest.mark.parametrize(
    ("what", "stands"),
    [
        (record(wait_s=0.3), True),
        (record(Reason.QUEUE_TIMEOUT, 0.3), True),
        (record(Reason.DEADLINE_EXCEEDED, 0.3), True),
        (record(Reason.QUEUE_TIMEOUT, 0.01), False),  # no patience
        (record(wait_s=0.3, is_cold=True), False),
        (record(Reason.MODEL_FAILED, 0.3, 0.3), False),
        (record(spent_s=0.3, wait_s=0.01), False),  # slow, and did not wait
    ],
)
def test_what_is_a_wait(what: RequestRecord, stands: bool) -> None:
    of = pressure(CODEL)
    for tick in range(5):
        of.record(what, tick / 10)
    assert (refusal(of, 0.4) == TOO_LATE) is stands


def test_no_patience_does_not_hide_a_standing_queue() -> None:
    of = standing(pressure(CODEL))
    of.record(record(Reason.QUEUE_TIMEOUT, 0.001), 0.4)
    assert refusal(of, 0.4) == TOO_LATE


# ---- retries ------------------------------------------------------------------------------------


def stormy(reason: Reason) -> Pressure:
    of = pressure(STORM)
    for number in range(100):
        of.record(record(reason if number % 5 == 0 else None), 0.0)
    return of


@pytest.mark.parametrize(
    ("reason", "is_one"),
    [
        (Reason.OVERLOADED, True),
        (Reason.QUEUE_TIMEOUT, True),
        (Reason.QUOTA_EXCEEDED, False),
        (Reason.MODEL_LOADING, False),
        (Reason.INVALID_INPUT, False),
    ],
)
def test_what_makes_a_storm(reason: Reason, is_one: bool) -> None:
    of = stormy(reason)
    assert (refusal(of, caller=AGAIN) == TOO_OFTEN) is is_one
    assert refusal(of) == ""


def test_the_storm_does_not_feed_on_the_retries_it_refuses() -> None:
    of = stormy(Reason.OVERLOADED)
    for _ in range(1000):
        assert refusal(of, 1.0, caller=AGAIN) == TOO_OFTEN
        of.record(record(Reason.OVERLOADED, 0.0), 1.0)
    for _ in range(200):
        of.record(record(), 1.0)
    assert refusal(of, 1.0, caller=AGAIN) == ""


def test_other_models_are_not_concerned() -> None:
    stormy(Reason.OVERLOADED).check("n", 1, AGAIN, 0.0)


# ---- all ----------------------------------------------------------------------------------------


def test_times_to_wait_are_spread_by_a_fifth() -> None:
    of = stormy(Reason.OVERLOADED)
    waits = []
    for _ in range(1000):
        with pytest.raises(Overloaded) as caught:
            of.check("m", 1, AGAIN, 0.0)
        waits.append(caught.value.retry_after_s or 0.0)
        of.record(record(Reason.OVERLOADED, 0.0), 0.0)
    assert 8.0 <= min(waits) < 8.1
    assert 11.9 < max(waits) <= 12.0
    assert sum(waits) / 1000 == pytest.approx(10.0, rel=0.01)
    assert len(set(waits)) == 1000


def test_a_million_models_are_ten_thousand() -> None:
    of = pressure(ADAPTIVE, CODEL, STORM)
    for number in range(15_000):
        of.record(RequestRecord(str(number), 1, "rest", None, 0.05, batch_rows=1), 0.0)
    of.record(RequestRecord("", 0, "rest", Reason.NOT_FOUND, 0.0), 0.0)
    assert len(of._models) == 10_000
    assert "" not in of._models


def test_an_initial_limit_outside_of_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="adaptive: initial"):
        pressure({"adaptive": {"min": 30}})
