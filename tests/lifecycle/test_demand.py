"""What all fronts together tell of a version."""

from __future__ import annotations

import pytest

from gateway.control.messages import Demand, VersionDemand
from gateway.core.device import Usage
from gateway.core.model import ModelKey
from gateway.core.scaling import KeepAlive
from gateway.lifecycle.demand import Demands, kept_s

A, B = ModelKey("a", 1), ModelKey("b", 1)


def test_fronts_add_up() -> None:
    demands = Demands()
    demands.take(0, Demand((VersionDemand(A, 1.5, 2),)), 10.0)
    demands.take(1, Demand((VersionDemand(A, 2.0, 1), VersionDemand(B, 0.5, 0))), 11.0)
    assert demands.concurrency(A) == 3.5
    assert demands.usage(A) == Usage(11.0, 3)
    demands.take(0, Demand(()), 12.0)
    assert demands.usage(A) == Usage(11.0, 1)
    demands.lost(1)
    assert (demands.usage(A), demands.concurrency(B)) == (Usage(11.0, 0), 0.0)


def test_a_report_of_several_packets_is_one() -> None:
    demands = Demands()
    demands.take(0, Demand((VersionDemand(A, 1.0, 1),)), 10.0)
    demands.take(0, Demand((VersionDemand(B, 1.0, 1),), is_first=False), 10.0)
    assert demands.concurrency(A) == demands.concurrency(B) == 1.0


def test_what_nobody_used_was_never_used() -> None:
    demands = Demands()
    assert demands.usage(A) == Usage()
    demands.touch(A, 5.0)
    assert demands.usage(A) == Usage(5.0)
    demands.forget(A)
    assert demands.usage(A) == Usage()
    assert list(demands.ever_used()) == []


def test_the_last_word_on_keeping_holds() -> None:
    demands = Demands()
    demands.take(0, Demand((VersionDemand(A, 1.0, 1, KeepAlive(60.0, 9.5)),)), 10.0)
    demands.take(0, Demand((VersionDemand(A, 1.0, 1),)), 11.0)
    assert demands.keep_alive_s(A) == 60.0
    demands.take(0, Demand((VersionDemand(A, 1.0, 1, KeepAlive(-1.0, 11.5)),)), 12.0)
    assert demands.keep_alive_s(A) == -1.0
    demands.take(1, Demand((VersionDemand(A, 1.0, 1, KeepAlive(5.0, 11.4)),)), 12.5)
    assert demands.keep_alive_s(A) == -1.0, "said before it, to another front that told of it later"


def test_reports_between_two_looks_are_averaged() -> None:
    demands = Demands()
    for concurrency in (1.0, 3.0, 5.0):
        demands.take(0, Demand((VersionDemand(A, concurrency, 1),)), 10.0)
    assert demands.concurrency(A) == 3.0
    demands.take(0, Demand(()), 11.0)
    assert demands.concurrency(A) == 2.25
    demands.looked()
    assert demands.concurrency(A) == 2.25, "nothing newer"
    demands.take(0, Demand((VersionDemand(A, 7.0, 1),)), 12.0)
    assert demands.concurrency(A) == 7.0


@pytest.mark.parametrize(
    ("asked", "configured", "kept"),
    [
        (None, None, 300.0),
        (None, 5.0, 5.0),
        (0.0, None, 0.0),
        (10.0, 5.0, 10.0),
        (1.0, 5.0, 5.0),
        (-1.0, 5.0, -1.0),
        (1.0, -1.0, -1.0),
    ],
)
def test_who_decides_how_long(asked: float | None, configured: float | None, kept: float) -> None:
    assert kept_s(asked, configured, 300.0) == kept
