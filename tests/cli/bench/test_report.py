from __future__ import annotations

import io

import msgspec
from rich.console import Console

from gateway.cli.bench.report import print_report, warnings
from gateway.cli.bench.result import Report
from tests.cli.bench.test_result import report, some_results


def _printed(value: Report) -> str:
    out = io.StringIO()
    print_report(value, Console(file=out, width=118))
    return out.getvalue()


def test_the_table_has_a_line_for_each_load() -> None:
    text = _printed(msgspec.structs.replace(report(), results=some_results()))
    assert "fraud · rest · 127.0.0.1:8000 · 64 connections, batch 2" in text
    for number in ("900", "5,200", "9,100", "0.500", "24.000", "120.000"):
        assert number in text


def test_errors_are_told_by_kind_with_what_was_said() -> None:
    text = _printed(report())
    assert "2 of http 503 full" in text
    assert "1 of closed" in text


def test_markup_from_a_server_is_only_text() -> None:
    (result,) = report().results
    result = msgspec.structs.replace(result, examples={"http 503": "[bold]x[/nothing]"})
    assert "[bold]x[/nothing]" in _printed(msgspec.structs.replace(report(), results=(result,)))


def test_doubtful_numbers_carry_a_warning() -> None:
    (result,) = report().results
    clean = msgspec.structs.replace(result, unsent=0, late=0, generator_cpu=0.5)
    assert list(warnings(msgspec.structs.replace(report(), results=(clean,)))) == []
    for changes, said in (
        ({"generator_cpu": 0.95}, "the generator used more than 90%"),
        ({"unsent": 7}, "7 were due and never sent"),
        ({"late": 50}, "50 were sent more than 1 ms late"),
    ):
        doubtful = msgspec.structs.replace(clean, **changes)
        (warning,) = warnings(msgspec.structs.replace(report(), results=(doubtful,)))
        assert said in warning
