"""What fronts hand over, taken apart."""

from __future__ import annotations

import logging

import msgspec
import pytest

from gateway.control.messages import Demand, VersionDemand
from gateway.core.model import ModelKey
from gateway.core.records import RequestRecord
from gateway.lifecycle.demand import Demands
from gateway.lifecycle.front_reports import FrontReports
from gateway.telemetry.counters import Counters
from gateway.telemetry.series import Gauges

KEY = ModelKey("m", 1)


def test_counters_add_up_and_outlive_their_front() -> None:
    reports, counters = FrontReports(Demands()), Counters()
    counters.record(RequestRecord("m", 1, "rest", None, 0.002))
    for report in counters.reports(Gauges((), 0, {})):
        reports.on_counters(0, msgspec.msgpack.encode(report))
    reports.on_front_died(0)
    (series,) = reports.merged.series()
    assert series.outcomes == {"OK": 1}


def test_a_report_that_cannot_be_read_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        FrontReports(Demands()).on_counters(3, b"no report")
    assert "front 3 handed over counters that cannot be read" in caplog.text


def test_demand_ends_with_its_front() -> None:
    demands = Demands()
    reports = FrontReports(demands)
    reports.on_demand(0, Demand((VersionDemand(KEY, 1.5, 2),)))
    assert (demands.concurrency(KEY), demands.used_now()) == (1.5, {"m"})
    reports.on_front_died(0)
    assert (demands.concurrency(KEY), demands.used_now()) == (0.0, set())
