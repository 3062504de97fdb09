"""The benchmark of strategies on one small server: it compares, and says so where it is worse."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.batching import Policy
from tests.bench import batching
from tests.bench.batching import Case, Result, cases, panels, table
from tests.bench.curves import drawn
from tests.simulation.batching import Server

GOOD = Result("slo_aware", 0.001, 0.010, 990.0, 4.0, 0.5)
FIXED = (Result("a", 0.001, 0.012, 1000.0, 4.0, 0.5), Result("b", 0.001, 0.030, 2000.0, 4.0, 0.5))


@pytest.mark.parametrize(
    ("own", "objective_s", "is_well"),
    [
        (GOOD, 0.02, True),
        (GOOD._replace(p99_s=0.021), 0.02, False),
        (GOOD._replace(rows_per_s=940.0), 0.02, False),
        (GOOD, 0.04, False),  # the other one holds that too, and answers twice as much
        (GOOD._replace(p99_s=0.5), 0.011, True),  # nobody holds it
    ],
)
def test_the_verdict(own: Result, objective_s: float, is_well: bool) -> None:
    assert Case("s", 0.3, objective_s, own, FIXED).is_well is is_well


def test_a_small_comparison_is_told_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cases({"small": Server(0.0002, 0.002)}, (Policy(64), Policy(8, max_delay_s=0.002)), 1500)
    assert [case.load for case in found] == [0.3] * 3 + [0.6] * 3 + [0.9] * 3
    assert all(case.is_well for case in found)
    assert "8 rows, 2 ms" in table(found) or "64 rows, 0 ms" in table(found)
    assert "WORSE" in table([found[0]._replace(slo_aware=GOOD._replace(p99_s=9.0))])
    assert "small: p99" in drawn(panels(found))
    monkeypatch.setattr(batching, "cases", lambda: found)
    assert batching.main(tmp_path) == 0
    assert (tmp_path / "batching.svg").read_text().startswith("<svg")
