from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.bench.figures import Measure
from tests.bench.report import NotMeasured, Result, Row, at_least, below, machine, markdown, number, save

ROW = Row(
    "rest",
    "REST",
    at_least(4.0),
    4.5,
    Measure((40_000.0, 45_000.0, 44_000.0)),
    "req/s",
    peer="Triton",
    theirs=Measure((10_000.0, 9_000.0, 10_500.0)),
    requests=1000,
)
MISSING = NotMeasured("cold", "first request", below(40, "ms"), "wrk is not installed")


def _result(*rows: Row | NotMeasured) -> Result:
    return Result("triton", "2026-01-01 00:00 UTC", {"cpu": "x"}, 3, 5.0, rows)


def test_a_row_with_a_failed_request_has_not_reached_its_target() -> None:
    assert ROW.is_reached
    assert not msgspec.structs.replace(ROW, failures=1).is_reached
    assert not msgspec.structs.replace(ROW, figure=3.9).is_reached


def test_the_range_is_of_neighbouring_rounds_or_of_the_figure() -> None:
    assert ROW.range == "4 … 5"
    assert msgspec.structs.replace(ROW, theirs=None).range == "40,000 … 45,000"


def test_the_table_tells_target_measurement_and_verdict() -> None:
    table = markdown(_result(ROW, MISSING))
    assert "| REST | ≥ 4 x | 4.5 x | 4 … 5 | 44,000 req/s ± 6% | Triton 10,000 req/s ± 8% |" in table
    assert "| 0 of 1,000 | reached |" in table
    assert "| first request | < 40 ms | - | | | | | not measured |" in table
    assert "cold: wrk is not installed" in table


def test_a_saturated_generator_is_told() -> None:
    busy = msgspec.structs.replace(ROW, busy=0.97)
    assert "rest: the generator used 97% of its core" in markdown(_result(busy))
    assert "generator" not in markdown(_result(ROW))


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    result = _result(ROW, MISSING)
    file = save(result, tmp_path / "deep" / "triton.json")
    assert msgspec.json.decode(file.read_bytes(), type=Result) == result


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (100.4, "100"), (9.876, "9.88"), (0.5, "0.5")]
)
def test_three_digits_are_enough(value: float, text: str) -> None:
    assert number(value) == text


def test_the_machine_is_described() -> None:
    assert set(machine()) == {"cpu", "cores", "kernel", "python"}
