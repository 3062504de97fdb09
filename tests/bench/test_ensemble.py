from __future__ import annotations

import pytest

from tests.bench.ensemble import row_of
from tests.bench.outputs import Load
from tests.bench.report import at_most


def load(p50_us: float, failures: int = 0) -> Load:
    return Load(requests=10, failures=failures, seconds=1.0, p50_us=p50_us, p99_us=p50_us)


def test_the_ensemble_is_set_against_the_sum_of_its_parts() -> None:
    rounds = [
        {"chain": load(300.0), "first": load(100.0), "second": load(100.0, failures=1), "fraud": load(50.0)},
        {"chain": load(310.0), "first": load(90.0), "second": load(110.0), "fraud": load(50.0)},
    ]
    row = row_of("ensemble-rest", "title", at_most(1.5), rounds)
    assert row.figure == pytest.approx(305.0 / 250.0)
    assert (row.requests, row.failures, row.unit) == (80, 1, "us")
    assert not row.is_reached
