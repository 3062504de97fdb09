"""What a front tells of its models' use."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.control.messages import Demand, VersionDemand, VersionView
from gateway.core.errors import GatewayError
from gateway.core.model import ModelKey
from gateway.core.scaling import KeepAlive
from gateway.pipeline.catalogue import VersionSlot
from gateway.pipeline.cold import ColdWaiters
from gateway.pipeline.demand import DemandReport, queue_depths
from tests.fakes.specs import row_request
from tests.pipeline.test_pipeline import World


class _Waits:
    """Somebody who waits for a load."""

    deadline = 1e9
    is_open = True

    def fail(self, error: GatewayError) -> None:
        raise error


def slot(name: str, waiting: int = 0) -> VersionSlot:
    made = VersionSlot(ModelKey(name, 1), VersionView(1, "ready"), ColdWaiters(10, 1.0))
    for _ in range(waiting):
        made.waiters.add(_Waits(), lambda: None, 0.0)
    return made


def pipeline(**demand: int) -> Any:
    return SimpleNamespace(demand={}, keep_alive={})


def test_averages_over_the_sweeps_and_what_is_under_way_now() -> None:
    made, told = pipeline(), list[Demand]()
    report = DemandReport(made, told.append)
    one, other = slot("a", 3), slot("b")
    for _ in range(50):
        report.swept()
    made.demand = {one: 75, other: 0}
    made.keep_alive = {other: KeepAlive(5.0, 3.0)}
    report.send()
    (demand,) = told
    assert demand == Demand((
        VersionDemand(ModelKey("a", 1), 1.5, 3),
        VersionDemand(ModelKey("b", 1), 0.0, 0, KeepAlive(5.0, 3.0)),
    ))
    assert (made.demand, made.keep_alive) == ({}, {})


def test_an_end_is_told_once_and_then_nothing() -> None:
    made, told = pipeline(), list[Demand]()
    report = DemandReport(made, told.append)
    report.send()
    made.demand = {slot("a"): 1}
    for _ in range(4):
        report.send()
    assert [len(one.versions) for one in told] == [1, 0]


def test_many_are_told_in_packets() -> None:
    made, told = pipeline(), list[Demand]()
    made.demand = {slot(f"m{number}"): 1 for number in range(900)}
    DemandReport(made, told.append).send()
    assert [(len(one.versions), one.is_first) for one in told] == [(400, True), (400, False), (100, False)]


def test_depths_of_what_has_anything() -> None:
    world = World()
    world.world("ready", "ready")
    world.attach(1, 1)
    for _ in range(3):
        world.ask(request=row_request(1.0, version=1))
    (depth,) = queue_depths(world.catalogue.slots())
    assert (depth.model, depth.version, depth.waiting + depth.in_flight) == ("double", 1, 3)


def test_the_sweeps_see_every_request_that_came_since_the_last() -> None:
    world, told = World(), list[Demand]()
    world.world("ready")
    link = world.attach()
    report = DemandReport(world.pipeline, told.append)
    world.ask(request=row_request(1.0, parameters={"keep_alive": 5.0}))
    world.pipeline.sweep(world.clock())
    report.swept()
    link.double()
    world.loop.turn()
    world.pipeline.sweep(world.clock())
    report.swept()
    world.pipeline.sweep(world.clock())
    report.swept()
    report.send()
    assert told == [Demand((VersionDemand(ModelKey("double", 1), 1 / 3, 0, KeepAlive(5.0, 1000.0)),))]
