from __future__ import annotations

from gateway.cli.bench.tally import LATE_S, Mark, Tally, mark


def test_failures_are_counted_by_kind_and_the_first_words_kept() -> None:
    tally = Tally()
    tally.fail("http 503", "")
    tally.fail("http 503", "a" * 1000)
    tally.fail("http 503", "b")
    tally.fail("closed", "reset")
    assert tally.errors == {"http 503": 3, "closed": 1}
    assert tally.examples == {"http 503": "a" * 300, "closed": "reset"}


def test_late_is_more_than_the_limit() -> None:
    tally = Tally()
    for lag in (0.0, LATE_S, LATE_S * 1.01, 0.5):
        tally.sent(lag)
    assert tally.late == 2
    assert tally.lag.count == 4


def test_an_outcome_is_what_lies_between_two_marks() -> None:
    tally = Tally()
    tally.latency.record(0.001)
    outcome = tally.close(Mark(1.0, 10, 20, 0.5), Mark(3.0, 110, 220, 1.5), 2.0)
    assert (outcome.bytes_in, outcome.bytes_out, outcome.cpu_s, outcome.window_s) == (100, 200, 1.0, 2.0)
    assert outcome.succeeded == 1


def test_a_mark_knows_the_cpu_time_of_this_process() -> None:
    first = mark(0.0, 1, 2)
    assert 0 < first.cpu_s <= mark(1.0, 1, 2).cpu_s
