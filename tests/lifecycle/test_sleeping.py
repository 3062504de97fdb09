"""Versions that leave their GPU and keep their weights: to bed, awake again, and whatever may go wrong."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from gateway.core.device import CPU, Device, Seat
from gateway.core.scaling import ScalePolicy
from gateway.lifecycle.facts import FellAsleep, InstanceLoaded
from gateway.lifecycle.offers import Offer
from gateway.lifecycle.states import State
from gateway.workers.messages import Load, Sleep, Wake
from tests.fakes.worlds import FakeWorker, World, catalogue, offer

GPU = Device("GPU-a", "gpu", "H100", 1000, 0)
OTHER = Device("GPU-b", "gpu", "H100", 1000, 1)


def small(fingerprint: str = "a", instances: int = 1, sleep_s: float | None = None) -> Offer:
    made = offer(instances=instances, fingerprint=fingerprint)
    return msgspec.structs.replace(made, size_bytes=70, scale=ScalePolicy(sleep_s=sleep_s))


def on(world: World, device: Device) -> None:
    world.places.device, world.places.seat = device, Seat(device.id)


def used(world: World, count: int = 1, sleep_s: float | None = None) -> FakeWorker:
    """A version that serves on a GPU; its first worker."""
    on(world, GPU)
    world.lifecycle.reconcile(catalogue(small(instances=count, sleep_s=sleep_s)))
    load(world, count)
    return world.workers.alive[0]


def load(world: World, count: int = 1) -> None:
    world.lifecycle.on_activate(world.key, 5.0)
    while len(world.fronts.attached) < count:
        worker = next(one for one in world.workers.alive if one.id not in world.fronts.attached)
        worker.can_sleep = True
        worker.loads(memory_bytes=400)
    world.lifecycle.check()


def release(world: World) -> None:
    world.version.release()
    for worker in tuple(world.fronts.detaching):
        world.fronts.drained(worker)
    world.lifecycle.check()


def asleep(world: World, freed: int | None = 350) -> FakeWorker:
    worker = used(world)
    release(world)
    worker.sleeps(90, freed)
    world.lifecycle.check()
    assert world.version.state is State.ASLEEP
    return worker


def taken(world: World) -> dict[str, int]:
    return {one.device: one.size_bytes for one in world.places.asleep.values()}


def test_an_unused_model_leaves_its_gpu_and_wakes_in_the_same_worker() -> None:
    world = World()
    worker = asleep(world)
    assert world.shown() == "absent", "to callers it is one that loads at the first request"
    (entry,) = world.lifecycle.index()
    assert (entry.state, "asleep" in entry.reason) == ("READY", True)
    assert taken(world) == {CPU: 90, GPU.id: 50}
    assert FellAsleep(world.key, GPU.id, 90) in world.facts.told
    load(world)
    assert [type(message) for message in worker.sent] == [Load, Sleep, Wake]
    assert world.fronts.attached == {worker.id: world.key}
    assert len(world.workers.made) == 1
    fact = world.facts.told[-1]
    assert isinstance(fact, InstanceLoaded)
    assert fact.phases_s == {"wake": 0.004}
    assert len(world.places.stays) == 1, "what it had for its sleep is given back"


def test_what_the_device_has_left_of_it_is_not_more_than_it_had() -> None:
    world = World()
    asleep(world, freed=None)
    assert taken(world) == {CPU: 90, GPU.id: 0}


def test_a_request_before_it_has_fallen_asleep_waits_and_wakes_it() -> None:
    world = World()
    worker = used(world)
    release(world)
    assert world.version.state is State.UNLOADING
    world.lifecycle.on_activate(world.key, 5.0)
    assert world.shown() == "loading"
    worker.sleeps()
    assert isinstance(worker.sent[-1], Wake)
    worker.loads()
    assert world.shown() == "ready"
    world.lifecycle.check()


def test_one_of_several_instances_sleeps() -> None:
    world = World()
    first = used(world, 2)
    other = world.workers.alive[1]
    release(world)
    sleeper, stopped = (first, other) if isinstance(first.sent[-1], Sleep) else (other, first)
    assert stopped.orders == ["stop"]
    sleeper.sleeps()
    assert world.version.state is State.UNLOADING, "the other one has its memory yet"
    stopped.dies(0)
    assert world.version.state is State.ASLEEP
    world.lifecycle.on_activate(world.key, 5.0)
    assert [type(one.sent[-1]) for one in world.workers.alive] == [Wake, Load]
    for one in world.workers.alive:
        one.loads()
    assert world.version.ready == 2
    world.lifecycle.check()


@pytest.mark.parametrize("why", ["cpu", "unable", "no host memory", "never", "withdrawn"])
def test_what_is_unloaded_as_ever(why: str) -> None:
    world = World(sleep_s=0.0 if why == "never" else 600.0)
    world.places.has_host_memory = why != "no host memory"
    worker = used(world)
    instance = world.version.roster.current[0]
    if why == "cpu":
        on(world, Device())
    if why in {"cpu", "unable"}:
        instance.can_sleep = False
    if why == "withdrawn":
        world.version.withdraw()
        world.fronts.drained(worker.id)
    else:
        release(world)
    assert worker.orders == ["stop"]
    worker.dies(0)
    assert not world.places.stays
    assert why == "withdrawn" or world.version.state is State.ABSENT


def test_an_instance_on_the_cpu_has_its_weights_there_already() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(small()))
    load(world)
    release(world)
    assert world.workers.made[0].orders == ["stop"]


def test_a_model_says_itself_how_long() -> None:
    world = World(sleep_s=0.0)
    worker = used(world, sleep_s=30.0)
    release(world)
    worker.sleeps()
    world.time.advance(29.0)
    assert world.version.state is State.ASLEEP
    world.time.advance(2.0)
    assert worker.orders == ["stop"]
    assert world.version.state is State.UNLOADING
    worker.dies(0)
    assert world.version.state is State.ABSENT
    assert not world.places.stays
    load(world)
    assert len(world.workers.made) == 2


def test_for_ever_is_until_somebody_needs_the_memory() -> None:
    world = World(sleep_s=-1.0)
    worker = asleep(world)
    world.time.advance(1e6)
    assert world.version.state is State.ASLEEP
    host = next(ticket for ticket, one in world.places.asleep.items() if one.device == CPU)
    world.places.stays[host]()
    assert worker.orders == ["stop"]
    worker.dies(0)
    assert (world.version.state, world.places.stays) == (State.ABSENT, {})


def test_another_place_is_another_worker_and_the_sleeper_ends() -> None:
    world = World()
    worker = asleep(world)
    on(world, OTHER)
    world.lifecycle.on_activate(world.key, 5.0)
    assert worker.orders == ["stop"]
    (other,) = [one for one in world.workers.alive if one is not worker]
    assert isinstance(other.sent[-1], Load)
    worker.dies(0)
    other.loads()
    assert world.shown() == "ready"
    world.lifecycle.check()


def test_it_asks_for_the_device_it_lies_on() -> None:
    world = World()
    asleep(world)
    world.lifecycle.on_activate(world.key, 5.0)
    assert [ask.prefers for ask in world.places.asked.values()] == ["", GPU.id]


@pytest.mark.parametrize("is_out_of_memory", [True, False])
def test_one_that_cannot_be_woken_is_loaded_anew_once(is_out_of_memory: bool) -> None:
    world = World()
    worker = asleep(world)
    world.lifecycle.on_activate(world.key, 5.0)
    worker.fails("the device is another", is_out_of_memory=is_out_of_memory)
    assert worker.orders == ["terminate"]
    (fresh,) = [one for one in world.workers.alive if one is not worker]
    assert isinstance(fresh.sent[-1], Load)
    fresh.fails("no good")
    assert world.shown() == "failed"
    world.lifecycle.check()


def test_one_that_cannot_fall_asleep_or_takes_too_long_is_unloaded(caplog: pytest.LogCaptureFixture) -> None:
    world = World(stop_grace_s=10.0)
    worker = used(world)
    release(world)
    worker.sleeps(error="CUDA failure 2: out of memory")
    assert "could not sleep and is unloaded: CUDA failure 2" in caplog.text
    assert worker.orders == ["stop"]
    worker.dies(0)
    load(world)
    slow = world.workers.alive[0]
    release(world)
    world.time.advance(10.0)
    assert slow.orders == ["stop"]
    slow.dies(0)
    assert (world.version.state, world.places.stays) == (State.ABSENT, {})


def test_its_end_is_nobodys_death() -> None:
    world = World()
    worker = asleep(world)
    worker.dies(-9)
    assert world.version.state is State.ABSENT
    load(world)
    assert world.version.failures.deaths == 0


@pytest.mark.parametrize("is_falling", [True, False])
def test_files_that_changed_are_not_those_that_sleep(is_falling: bool) -> None:
    world = World()
    if is_falling:
        worker = used(world)
        release(world)
    else:
        worker = asleep(world)
    world.lifecycle.reconcile(catalogue(small("b")))
    assert worker.orders == ["stop"]
    worker.dies(0)
    load(world)
    assert len(world.workers.made) == 2


def test_one_that_is_withdrawn_is_gone_when_its_sleeper_is() -> None:
    world = World()
    worker = asleep(world)
    world.version.withdraw()
    assert worker.orders == ["stop"]
    assert world.key in world.lifecycle._versions
    worker.dies(0)
    assert world.key not in world.lifecycle._versions


def test_the_end_of_the_gateway_finds_it_asleep() -> None:
    world = World(sleep_s=30.0)
    worker = asleep(world)
    world.lifecycle.close()
    world.time.advance(100.0)
    assert not worker.orders
    worker.dies(0)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_it_serves_again_and_nothing_is_left(seed: int) -> None:
    rng = Random(seed)
    world = World(sleep_s=rng.choice([-1.0, 3.0]), stop_grace_s=2.0)
    on(world, GPU)
    fingerprint = "a"
    world.lifecycle.reconcile(catalogue(small()))
    for _ in range(150):
        step = rng.choice([
            "activate",
            "release",
            "drain",
            "answer",
            "answer",
            "time",
            "die",
            "evict",
            "move",
            "change",
        ])
        match step:
            case "activate":
                world.lifecycle.on_activate(world.key, 5.0)
            case "release":
                world.version.release()
            case "drain" if world.fronts.detaching:
                world.fronts.drained(rng.choice(list(world.fronts.detaching)))
            case "answer":
                _answer(rng, world)
            case "time":
                world.time.advance(rng.random() * 3)
            case "die" if world.workers.alive and rng.random() < 0.2:
                rng.choice(world.workers.alive).dies(-9, is_blameless=True)
            case "evict" if world.places.asleep:
                ticket = rng.choice(list(world.places.asleep))
                if ticket in world.places.stays:
                    world.places.stays[ticket]()
            case "move":
                on(world, rng.choice([GPU, OTHER]))
            case "change" if rng.random() < 0.2:
                fingerprint = rng.choice("ab")
                world.lifecycle.reconcile(catalogue(small(fingerprint)))
        world.lifecycle.check()
        world.places.check()
    world.version.withdraw()
    for _ in range(20):
        _settle(world)
    assert not world.workers.alive
    assert not world.places.stays
    assert world.key not in world.lifecycle._versions


def _answer(rng: Random, world: World) -> None:
    for worker in rng.sample(world.workers.alive, len(world.workers.alive)):
        if worker.orders:
            worker.dies(0)
            return
        if isinstance(worker.sent[-1], Sleep):
            worker.sleeps(error=rng.choice(["", "", "no"]))
            return
        if worker.id not in world.fronts.attached and worker.id not in world.fronts.detaching:
            worker.can_sleep = rng.random() < 0.9
            worker.fails() if rng.random() < 0.1 else worker.loads(memory_bytes=100)
            return


def _settle(world: World) -> None:
    for worker in tuple(world.fronts.detaching):
        world.fronts.drained(worker)
    for worker in world.workers.alive:
        if worker.orders:
            worker.dies(0)
    world.time.advance(1.0)
