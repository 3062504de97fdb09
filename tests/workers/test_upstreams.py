from __future__ import annotations

from gateway.core.model import ModelKey
from gateway.runtimes.contract import UpstreamCounts
from gateway.workers.upstreams import Upstreams, UpstreamTotals

ONE, TWO = ModelKey("one", 1), ModelKey("two", 1)


def test_sums_over_living_and_ended_workers() -> None:
    upstreams = Upstreams()
    assert upstreams.totals() == {}
    upstreams.take(1, TWO, UpstreamCounts("open", 5, 1, 2, 1))
    upstreams.take(2, ONE, UpstreamCounts("closed", 7))
    upstreams.take(3, ONE, UpstreamCounts("half_open", 3, 1))
    assert list(upstreams.totals()) == [ONE, TWO]
    assert upstreams.totals()[ONE] == UpstreamTotals({"closed": 1, "half_open": 1}, 10, 1, 0, 0)
    upstreams.forget(2)
    upstreams.forget(2)
    assert upstreams.totals()[ONE] == UpstreamTotals({"half_open": 1}, 10, 1, 0, 0)
    upstreams.take(4, ONE, UpstreamCounts("closed", 1))
    assert upstreams.totals()[ONE].requests == 11


def test_a_worker_cannot_make_a_figure_fall() -> None:
    upstreams = Upstreams()
    upstreams.take(1, ONE, UpstreamCounts("closed", 9, 4, 3, 2))
    upstreams.take(1, ONE, UpstreamCounts("open", 1, 5, -3, 0))
    assert upstreams.totals()[ONE] == UpstreamTotals({"open": 1}, 9, 5, 3, 2)
