from __future__ import annotations

import json
from pathlib import Path

import msgspec

from gateway.cli.bench.plan import Plan
from gateway.cli.bench.result import Report, Result, make_report, summarise
from gateway.cli.bench.tally import Mark, Outcome, Tally

GOLDEN = Path(__file__).parent / "report.golden.json"


def _outcome(latencies_s: list[float], errors: dict[str, str], *, cpu_s: float = 0.5) -> Outcome:
    tally = Tally()
    for latency in latencies_s:
        tally.latency.record(latency)
        tally.sent(latency / 10)
    for kind, detail in errors.items():
        tally.fail(kind, detail)
    tally.unsent = 3
    tally.reconnects = tally.resent = 1
    return tally.close(Mark(0.0, 0, 0, 0.0), Mark(2.0, 4000, 8000, cpu_s), 2.0)


def report() -> Report:
    plan = Plan(model="fraud", rate=100.0, batch=2, processes=2, version="1")
    first = _outcome([0.001] * 90 + [0.02] * 10, {"http 503": "full"})
    second = _outcome([0.002] * 100, {"http 503": "other", "closed": ""}, cpu_s=1.0)
    return make_report(plan, 240, [summarise(plan, [first, second])])


def test_the_json_is_the_one_that_was_promised() -> None:
    encoded = msgspec.json.format(msgspec.json.encode(report()), indent=2).decode() + "\n"
    assert encoded == GOLDEN.read_text()
    assert msgspec.json.decode(encoded, type=Report) == report()


def test_outcomes_of_processes_become_one_result() -> None:
    (result,) = report().results
    assert (result.requests, result.failed) == (200, 3)
    assert result.rate == 100
    assert result.rows_per_s == 200
    assert result.errors == {"closed": 1, "http 503": 2}
    assert result.examples == {"http 503": "full"}
    assert (result.unsent, result.reconnects, result.resent, result.late) == (6, 2, 2, 10)
    assert result.sent_bytes_per_s == 8000
    assert result.generator_cpu == 0.5
    assert report().has_failures


def test_nothing_measured_is_zeros_and_not_an_error() -> None:
    result = summarise(Plan(model="m"), [_outcome([], {})])
    assert (result.requests, result.rate, result.latency.p99_ms, result.latency.min_ms) == (0, 0, 0, 0)
    assert result.generator_us_per_request == 0


def test_every_number_is_finite_json() -> None:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    json.loads(msgspec.json.encode(report()), parse_constant=refuse)


def some_results() -> tuple[Result, ...]:
    (result,) = report().results
    return tuple(
        msgspec.structs.replace(
            result,
            rate=rate,
            load=load,
            latency=msgspec.structs.replace(result.latency, p50_ms=p50, p99_ms=p50 * 4, p999_ms=p50 * 20),
        )
        for load, rate, p50 in ((1.0, 900.0, 0.2), (8.0, 5200.0, 0.5), (64.0, 9100.0, 6.0))
    )
