"""The numbers of instances follow the use; time and versions are fakes."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.control.messages import Demand, VersionDemand
from gateway.core.model import ModelKey
from gateway.core.scaling import KeepAlive, ScalePolicy
from gateway.core.sequence import SequenceBatching
from gateway.lifecycle.autoscaler import Autoscaler, bounds_of
from gateway.lifecycle.demand import Demands
from gateway.lifecycle.offers import Offer
from gateway.lifecycle.scaling import Bounds
from gateway.lifecycle.settings import ScalingSettings
from tests.fakes.worlds import FakeTime, offer


class FakeVersion:
    """Loads at once, or when told."""

    def __init__(self, offered: Offer, ready: int = 0) -> None:
        self.offered = offered
        self.key: ModelKey = offered.key
        self.ready = self.wanted = ready
        self.is_settled = True
        self.orders: list[int] = []

    def scale_to(self, count: int) -> None:
        self.orders.append(count)
        self.wanted = self.ready = count


class Bench:
    """An autoscaler that looks once a second."""

    def __init__(self, *versions: FakeVersion, **settings: Any) -> None:
        self.time = FakeTime()
        self.versions = list(versions)
        self.demands = Demands()
        told = ScalingSettings.model_validate({"keep_alive_s": 60.0, **settings})
        self.scaler = Autoscaler(told, lambda: self.versions, self.demands, self.time.clock)

    def seconds(self, count: int, *loads: VersionDemand) -> None:
        for _ in range(count):
            self.time.advance(1.0)
            self.demands.take(0, Demand(loads), self.time.now)
            self.scaler.look()


def scaled(**policy: Any) -> Offer:
    return msgspec.structs.replace(offer(), scale=ScalePolicy(**policy))


def load(concurrency: float, in_flight: int = 1, keep_alive_s: float | None = None) -> VersionDemand:
    asked = None if keep_alive_s is None else KeepAlive(keep_alive_s, 0.0)
    return VersionDemand(offer().key, concurrency, in_flight, asked)


def test_one_that_nobody_uses_goes_to_zero_after_its_time() -> None:
    version = FakeVersion(offer(), 1)
    bench = Bench(version)
    bench.seconds(100, load(1.0))
    assert version.orders == []
    bench.seconds(59)
    assert version.orders == []
    bench.seconds(2)
    assert version.orders == [0]


def test_what_is_under_way_is_never_idle() -> None:
    version = FakeVersion(scaled(keep_alive_s=0.0), 1)
    bench = Bench(version)
    bench.seconds(100, load(0.0, in_flight=1))
    assert version.orders == []
    bench.seconds(1, load(0.0, in_flight=0))
    assert version.orders == [0]


def test_loading_is_never_idle() -> None:
    version = FakeVersion(scaled(keep_alive_s=2.0), 1)
    bench = Bench(version)
    version.ready, version.is_settled = 0, False
    bench.seconds(50)
    version.ready = 1
    bench.seconds(10)
    assert version.orders == []
    version.ready, version.is_settled = 2, True
    bench.seconds(1)
    assert version.orders == []
    bench.seconds(2)
    assert version.orders == [0]


def test_loads_that_come_to_nothing_keep_nobody_loaded() -> None:
    version = FakeVersion(msgspec.structs.replace(offer(instances=2)), 1)
    version.wanted = 2
    bench = Bench(version)  # 60 s
    for _ in range(3):
        version.is_settled = False
        bench.seconds(10)
        version.is_settled = True
        bench.seconds(10)
    assert version.orders == []
    bench.seconds(1)
    assert version.orders == [0]


def test_a_panic_takes_nothing_away_until_a_stable_window_has_passed_and_yields_to_disuse() -> None:
    version = FakeVersion(scaled(max_instances=8, target_concurrency=10.0, keep_alive_s=20.0), 1)
    bench = Bench(version, target_utilization=1.0)
    bench.seconds(6, load(80.0))
    assert version.ready == 8
    bench.seconds(19, load(1.0))
    assert version.ready == 8, "a panic"
    bench.seconds(19)
    assert version.ready == 8
    bench.seconds(1)
    assert version.orders[-1] == 0, "nothing has been under way for as long as it was to stay"


def test_what_is_told_between_two_looks_is_heard() -> None:
    version = FakeVersion(scaled(max_instances=8, target_concurrency=10.0), 1)
    bench = Bench(version, target_utilization=1.0)
    for _ in range(10):
        bench.demands.take(0, Demand((load(80.0),)), bench.time.now)
        bench.seconds(1, load(0.0))  # and then it is quiet, whenever somebody looks
    assert version.ready == 4, "40 at a time, on average"


def test_it_grows_with_the_load_and_shrinks_after_it() -> None:
    version = FakeVersion(scaled(max_instances=8, target_concurrency=10.0), 1)
    bench = Bench(version, target_utilization=1.0)
    bench.seconds(10, load(35.0))
    assert version.ready == 4
    bench.seconds(130, load(5.0))
    assert version.ready == 1
    assert version.orders[-2:] == [2, 1], "by half at the most"


def test_one_that_does_not_scale_has_its_groups_instances_or_none() -> None:
    version = FakeVersion(msgspec.structs.replace(offer(instances=3)), 3)
    bench = Bench(version)
    bench.seconds(30, load(10_000.0))
    assert version.orders == []
    version.wanted = version.ready = 2  # one was put out
    bench.seconds(1, load(1.0))
    assert version.orders == [3]


def test_some_are_loaded_without_a_request() -> None:
    version = FakeVersion(scaled(min_instances=2, max_instances=4))
    bench = Bench(version)
    bench.seconds(1)
    assert version.orders == [2]
    bench.seconds(500)
    assert version.orders == [2]


def test_a_request_says_how_long() -> None:
    version = FakeVersion(offer(), 1)
    bench = Bench(version)
    bench.seconds(1, load(1.0, 0, keep_alive_s=5.0))
    bench.seconds(6)
    assert version.orders == [0]


def test_what_is_gone_is_forgotten() -> None:
    bench = Bench(FakeVersion(offer(), 1))
    bench.seconds(3, load(1.0))
    bench.versions.clear()
    bench.seconds(1)
    assert list(bench.demands.ever_used()) == []


def test_bounds() -> None:
    assert bounds_of(offer(instances=3), None, 60.0) == Bounds(3, 3, 60.0, may_be_zero=True)
    told = scaled(min_instances=2, max_instances=5, keep_alive_s=9.0)
    assert bounds_of(told, None, 60.0) == Bounds(2, 5, 9.0, may_be_zero=False)
    assert bounds_of(scaled(max_instances=5), 1.0, 60.0) == Bounds(1, 5, 1.0, may_be_zero=True)


def test_a_stateful_one_outlasts_its_sequences() -> None:
    spec = msgspec.structs.replace(offer().spec, sequence=SequenceBatching(max_idle_s=30.0))
    stateful = msgspec.structs.replace(scaled(keep_alive_s=1.0), spec=spec)
    assert bounds_of(stateful, None, 60.0).keep_alive_s == 30.0
