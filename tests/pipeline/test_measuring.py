"""What plugins count is handed over once it has changed, whole, and bounded."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from gateway.core.measures import MAX_MEASURES, Measure
from gateway.hooks import hookimpl
from gateway.pipeline.measuring import Measuring
from gateway.telemetry.plugin_series import PluginSeries
from tests.fakes.plugins import Failures, hooks

PACKET_BYTES = 128 << 10


class Counts:
    """Gives what stands in `given`."""

    given: Any = ()

    @hookimpl
    def measures(self) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


class Other(Counts): ...


def handed(measuring: Measuring) -> list[PluginSeries]:
    return [one for report in measuring.reports() for one in report.plugins]


def of(value: float, *labels: tuple[str, str]) -> Measure:
    return Measure("things", "counter", value, labels, "Things.")


def test_without_plugins_nothing_is_asked() -> None:
    assert Measuring(None).reports() == []


def test_what_has_changed_is_handed_over() -> None:
    plugin = Counts()
    measuring = Measuring(hooks(plugin).get("measures"))
    plugin.given = (of(1, ("of", "a")), of(2, ("of", "b")))
    assert [(one.plugin, one.labels, one.value) for one in handed(measuring)] == [
        ("counts", (("of", "a"),), 1.0),
        ("counts", (("of", "b"),), 2.0),
    ]
    assert handed(measuring) == []
    plugin.given = (of(1, ("of", "a")), of(3, ("of", "b")))
    assert [one.value for one in handed(measuring)] == [3.0]


@pytest.mark.parametrize("garbage", [(17,), [of(1)], 17, KeyError(), (of(1), of(-1))])
def test_a_plugin_that_gives_garbage_gives_nothing_and_the_others_all(garbage: Any) -> None:
    broken, well, failures = Counts(), Other(), Failures()
    broken.given, well.given = garbage, (of(1),)
    measuring = Measuring(hooks(broken, well, failures=failures).get("measures"))
    assert [one.plugin for one in handed(measuring)] == ["other"]
    assert [(plugin, hook) for plugin, hook, _ in failures] == [("counts", "measures")]


def test_packets_fit_the_channel_however_long_the_texts() -> None:
    plugin = Counts()
    long = "\U0001f600" * 1000
    labels = [tuple([(f"n{n}", f"{number}{long}") for n in range(8)]) for number in range(100)]
    plugin.given = tuple([Measure("x" * 60, "gauge", 1.5, one, long) for one in labels])
    reports = Measuring(hooks(plugin).get("measures")).reports()
    assert sum(len(report.plugins) for report in reports) == 100
    assert all(len(msgspec.msgpack.encode(report)) < PACKET_BYTES for report in reports)


def test_new_measures_without_end_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    plugin = Counts()
    measuring = Measuring(hooks(plugin).get("measures"))
    with caplog.at_level(logging.ERROR):
        for turn in range(3):
            plugin.given = tuple([of(1, ("of", f"{turn}-{n}")) for n in range(MAX_MEASURES)])
            assert len(handed(measuring)) == (0 if turn else MAX_MEASURES)
    assert caplog.text.count("new ones are left out") == 1
