"""Memory and slots handed out: one by one, and in a simulation of many models on few devices."""

from __future__ import annotations

from random import Random

import pytest

from gateway.core.device import CPU, Device, Seat, Usage
from gateway.core.model import ModelKey
from gateway.core.placement import Place
from gateway.devices.inventory import Look
from gateway.devices.reserve import Reserve
from gateway.lifecycle.facts import Fact, InstanceEvicted
from gateway.lifecycle.means import Ask, Asleep, Grant
from gateway.lifecycle.placing import Means, Placer
from gateway.lifecycle.settings import MemorySettings
from tests.fakes.worlds import FakeTime

GPU = Device("GPU-a", "gpu", "H100", 1000, 0)
OTHER = Device("GPU-b", "gpu", "H100", 1000, 1)


class Stay:
    """An instance that wants a place, and does what the placer says."""

    def __init__(self, bench: Bench, name: str, needs: int, place: Place, **fields: bool | str) -> None:
        self.bench = bench
        self.key = ModelKey(name, 1)
        self.ticket = bench.placer.new_ticket()
        self.grant: Grant | None = None
        self.refusal = ""
        self.is_evicted = False
        self.loaded_at = 0.0
        ask = Ask(self.key, place, fields.pop("is_urgent", True), needs, **fields)
        bench.placer.enter(self.ticket, ask, self._start, self._refuse, self._evict)

    @property
    def device(self) -> str:
        return "" if self.grant is None else self.grant.device.id

    def loads(self, measured: int | None = None) -> Stay:
        self.believed = self.bench.placer.loaded(self.ticket, measured)
        self.loaded_at = self.bench.time.now
        return self

    def goes(self) -> None:
        self.bench.placer.leave(self.ticket)

    def _start(self, grant: Grant) -> None:
        assert self.grant is None
        assert not self.refusal
        self.grant = grant

    def _refuse(self, reason: str) -> None:
        self.refusal = reason

    def _evict(self) -> None:
        assert self.grant is not None, "it has nothing to give"
        assert self.bench.time.now - self.loaded_at >= self.bench.residency_s
        self.is_evicted = True
        self.bench.placer.leaving(self.ticket)


class Bench:
    """A placer over a host with 1000 bytes for models, and perhaps GPUs."""

    def __init__(self, *gpus: Device, slots: int = 2, host: int = 1000, **settings: object) -> None:
        self.time = FakeTime()
        self.residency_s = float(str(settings.get("minimum_residency_s", 10.0)))
        self.facts: list[Fact] = []
        self.used: dict[ModelKey, Usage] = {}
        self.host = host
        self.placer = Placer(
            Means(
                MemorySettings.model_validate({"minimum_residency_s": 10.0, **settings}),
                Reserve(),
                "spread",
                slots,
                lambda key: self.used.get(key, Usage()),
                self.time,
                self.time.clock,
                self.facts.append,
            )
        )
        self.gpus = gpus
        self.see()

    def see(self, free: dict[str, int] | None = None, *, lost: str = "") -> None:
        devices = [
            Device(one.id, one.kind, one.name, one.memory_bytes, one.number, is_healthy=one.id != lost)
            for one in (Device(memory_bytes=self.host), *self.gpus)
        ]
        self.placer.see(Look(tuple(devices), free or {}))

    def stay(self, name: str, needs: int = 100, place: Place = Place(), **fields: bool | str) -> Stay:  # ruff: ignore[function-call-in-default-argument]
        stay = Stay(self, name, needs, place, **fields)
        self.placer.check()
        return stay


def test_memory_and_a_slot_are_granted_together() -> None:
    bench = Bench()
    one, two, three = bench.stay("a"), bench.stay("b"), bench.stay("c")
    assert (one.device, two.device, three.device) == (CPU, CPU, "")
    assert (bench.placer.running, bench.placer.waiting) == (2, 1)
    one.loads()
    assert three.device == CPU
    assert three.grant is not None
    assert three.grant.seat == Seat()


def test_what_can_never_fit_is_refused_at_once_with_both_numbers() -> None:
    stay = Bench(host=1 << 20).stay("large", 5 << 20)
    assert stay.refusal == "5242880 bytes are needed on the CPU, and there are 1048576 at most"


def test_the_least_recently_used_makes_room() -> None:
    bench = Bench()
    old, new = bench.stay("old", 500).loads(), bench.stay("new", 400).loads()
    bench.time.advance(20.0)
    bench.used[old.key] = Usage(bench.time.now - 15.0)
    bench.used[new.key] = Usage(bench.time.now - 5.0)
    third = bench.stay("third", 300)
    assert (old.is_evicted, new.is_evicted, third.device) == (True, False, "")
    assert bench.facts == [InstanceEvicted(old.key, CPU, 15.0)]
    small = bench.stay("small", 50)
    assert small.device == "", "what is left for the third is not taken by who comes later"
    old.goes()
    assert (third.device, small.device) == (CPU, CPU)
    bench.placer.check()


def test_pinned_busy_and_young_ones_stay_and_the_wait_ends() -> None:
    bench = Bench(wait_for_room_s=30.0)
    pinned = bench.stay("pinned", 300, pinned=True).loads()
    busy, young = bench.stay("busy", 300).loads(), bench.stay("young", 300)
    bench.used[busy.key] = Usage(0.0, 2)
    bench.time.advance(20.0)
    young.loads()
    late = bench.stay("late", 200)
    assert not (pinned.is_evicted)
    assert not (busy.is_evicted)
    assert not (young.is_evicted)
    bench.time.advance(9.0)
    bench.see()
    assert late.refusal == ""
    bench.used[young.key] = Usage(bench.time.now, 1)
    bench.time.advance(21.0)
    assert late.refusal.endswith("no more room within 30 s")
    bench.placer.check()


def test_who_waits_is_served_when_somebody_becomes_old_enough() -> None:
    bench = Bench()
    young = bench.stay("young", 900).loads()
    late = bench.stay("late", 200)
    assert not young.is_evicted
    bench.time.advance(11.0)
    bench.see()
    assert young.is_evicted
    young.goes()
    assert late.device == CPU


def test_what_was_measured_counts() -> None:
    bench = Bench()
    bench.stay("a", 900).loads(measured=100)
    assert bench.stay("b", 800).device == CPU


def test_real_memory_counts_where_it_is_less() -> None:
    bench = Bench()
    bench.see({CPU: 150})
    assert bench.stay("a", 100).device == CPU
    assert bench.stay("b", 100).device == "", "the first one's hundred will be gone soon"


def test_too_little_at_the_load_makes_room_and_asks_for_more() -> None:
    bench = Bench()
    idle = bench.stay("idle", 400).loads()
    bench.time.advance(20.0)
    wrong = bench.stay("wrong", 300)
    assert bench.placer.failed_for_memory(wrong.ticket)
    assert idle.is_evicted
    again = Stay(bench, "wrong", 300, Place())
    assert again.device == "", "it is thought to need twice as much now"
    wrong.goes()
    assert again.device == CPU
    idle.goes()
    assert bench.placer.statistics().taken[CPU, "reserved"] == 600
    assert not bench.placer.failed_for_memory(again.ticket)


def test_what_sleeps_takes_only_what_is_free_and_is_the_first_to_make_room() -> None:
    bench = Bench(GPU)
    old = bench.stay("old", 300, Place("cpu")).loads()
    left = bench.stay("left", 900, Place("gpu")).loads()
    put_out: list[str] = []
    host = bench.placer.new_ticket()

    def leave_host() -> None:
        put_out.append("host")
        bench.placer.leaving(host)

    assert not bench.placer.keep(host, Asleep(left.key, CPU, 800), leave_host)
    assert bench.placer.keep(host, Asleep(left.key, CPU, 600), leave_host)
    bench.placer.leaving(left.ticket)
    there = Asleep(left.key, GPU.id, 100, is_there=True)
    assert bench.placer.keep(left.ticket, there, lambda: put_out.append("gpu"))
    bench.placer.check()
    taken = bench.placer.statistics().taken
    assert (taken[CPU, "asleep"], taken[GPU.id, "asleep"]) == (600, 100)
    assert bench.stay("beside", 800, Place("gpu")).device == GPU.id
    assert bench.stay("large", 200, Place("cpu")).device == ""
    assert (put_out, old.is_evicted) == (["host"], False), "at once, and nobody who serves"
    bench.see(lost=GPU.id)
    assert put_out == ["host", "gpu"]
    bench.placer.leave(host)
    bench.placer.leave(left.ticket)
    bench.placer.check()


def test_it_goes_back_to_where_its_weights_sleep() -> None:
    bench = Bench(GPU, OTHER)
    for device in (GPU, OTHER):
        sleeper = Asleep(ModelKey("m", 1), device.id, 10, is_there=True)
        bench.placer.keep(bench.placer.new_ticket(), sleeper, lambda: None)
        assert bench.stay("m", 100, prefers=device.id).loads().device == device.id


def test_gpus_by_number_and_by_room() -> None:
    bench = Bench(GPU, OTHER, slots=4)
    assert bench.stay("named", 100, Place("gpu", 1)).device == OTHER.id
    assert bench.stay("a", 900, Place("gpu", 0)).device == GPU.id
    assert bench.stay("auto", 500).device == OTHER.id
    more = bench.stay("more", 500)
    assert more.device == "", "not on the CPU, where it would be slow without anybody's having asked"
    more.goes()
    assert bench.stay("cpu", 100, Place("cpu")).device == CPU
    grant = bench.stay("seat", 100, Place("gpu", 0)).grant
    assert grant is not None
    assert grant.seat.device == GPU.id


def test_a_version_and_its_twin_are_on_different_devices() -> None:
    bench = Bench(GPU, OTHER, slots=4)
    assert bench.stay("m", 100).device != bench.stay("m", 100).device


def test_who_is_on_a_lost_device_has_to_leave_it() -> None:
    bench = Bench(GPU, OTHER, slots=4)
    there = bench.stay("m", 100, Place("gpu", 0)).loads()
    bench.time.advance(20.0)
    bench.see(lost=GPU.id)
    assert there.is_evicted
    there.goes()
    assert bench.stay("m", 100).device == OTHER.id
    assert "is lost" in bench.stay("n", 100, Place("gpu", 0)).refusal


def test_without_numbers_nothing_is_counted() -> None:
    bench = Bench(slots=100, host=0)
    for number in range(50):
        assert bench.stay(f"m{number}", 10**12).device == CPU


def test_leaving_twice_and_never_having_come() -> None:
    bench = Bench(slots=1)
    one, two = bench.stay("a"), bench.stay("b")
    two.goes()
    two.goes()
    one.goes()
    assert (bench.placer.running, bench.placer.waiting) == (0, 0)
    assert bench.placer.statistics().taken == {}


class Model:
    """One of many: asked for by chance, loads for a while, leaves when it is put out."""

    def __init__(self, bench: Bench, rng: Random, number: int) -> None:
        self.bench = bench
        self.rng = rng
        self.name = f"m{number}"
        self.needs = rng.randint(10, 400)
        self.place = rng.choice([Place(), Place("cpu"), Place("gpu", number % 2)])
        self.stay: Stay | None = None
        self.asked_at = 0.0
        self.waits: list[float] = []
        self.refusals = 0

    def use(self) -> None:
        now = self.bench.time.now
        if self.stay is None:
            self.asked_at = now
            self.stay = Stay(self.bench, self.name, self.needs, self.place, is_urgent=self.rng.random() < 0.7)
        self.bench.used[self.stay.key] = Usage(now, int(self.rng.random() < 0.1))

    def go_on(self) -> None:
        """Whatever is due."""
        stay, chance = self.stay, self.rng.random()
        if stay is None:
            return
        if stay.refusal:
            self.refusals += 1
            self.stay = None
        elif stay.is_evicted:
            if chance < 0.7:
                stay.goes()
                self.stay = None
        elif stay.grant is not None and not stay.loaded_at and chance < 0.7:
            self.waits.append(self.bench.time.now - self.asked_at)
            stay.loads(self.rng.choice([None, self.needs, self.needs // 2]))
        elif stay.loaded_at and chance < 0.01:  # its worker died
            stay.goes()
            self.stay = None


@pytest.mark.parametrize("seed", range(3))
def test_many_models_on_few_devices(seed: int) -> None:
    """Nothing is promised twice, whoever can be served is, and every wait ends."""
    rng = Random(seed)
    bench = Bench(GPU, OTHER, slots=2, wait_for_room_s=30.0, minimum_residency_s=2.0)
    models = [Model(bench, rng, number) for number in range(200)]
    for step in range(3000):
        bench.time.advance(rng.expovariate(10.0))
        models[min(int(rng.paretovariate(0.6)) - 1, 199)].use()
        for model in models:
            model.go_on()
        if step % 10 == 0:
            bench.see()
            for key, usage in bench.used.items():
                bench.used[key] = Usage(usage.last_used_at)
        bench.placer.check()
        statistics = bench.placer.statistics()
        for device in statistics.devices:
            taken = sum(size for (where, _), size in statistics.taken.items() if where == device.id)
            assert taken <= statistics.capacities[device.id]
    waits = [wait for model in models for wait in model.waits]
    evictions = [one for one in bench.facts if isinstance(one, InstanceEvicted)]
    assert len(waits) > 500
    assert len(evictions) > 200
    assert max(waits) < 31.0
    assert sum(model.refusals for model in models) < len(waits) / 10
