"""One instance alone: what it tells its version, and what it leaves behind."""

from __future__ import annotations

from gateway.core.device import Seat
from gateway.core.placement import Place
from gateway.lifecycle.instance import Instance, Phase
from gateway.lifecycle.means import Ask, Grant
from gateway.lifecycle.offers import order
from gateway.workers.handle import Exit
from gateway.workers.messages import Load, Loaded, LoadFailed
from tests.fakes.worlds import World, offer


class Owner:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ask_of(self, instance: Instance) -> Ask:
        return Ask(offer().key, Place(), is_urgent=True)

    def order_of(self, instance: Instance, grant: Grant) -> Load:
        return order(offer())

    def woken(self, grant: Grant) -> None:
        return None

    def on_placed(self, instance: Instance) -> None:
        self.told.append("placed")

    def on_opened(self, instance: Instance) -> None:
        self.told.append("opened")

    def on_loaded(self, instance: Instance, message: Loaded) -> None:
        self.told.append("loaded")

    def on_load_failed(self, instance: Instance, failure: LoadFailed) -> None:
        self.told.append(f"failed: {failure.error}")

    def on_evicted(self, instance: Instance) -> None:
        self.told.append("evicted")

    def on_died(self, instance: Instance, end: Exit, *, was_serving: bool) -> None:
        self.told.append(f"died, {was_serving}")

    def on_detached(self, instance: Instance) -> None:
        self.told.append("detached")

    def on_gone(self, instance: Instance) -> None:
        self.told.append("gone")


def made(**settings: object) -> tuple[World, Owner, Instance]:
    world, owner = World(**settings), Owner()
    return world, owner, Instance(0, owner, world.means)


def test_a_whole_life() -> None:
    world, owner, instance = made()
    instance.place()
    (worker,) = world.workers.made
    assert worker.seat == Seat()
    worker.opens()
    assert instance.phase is Phase.WARMING
    worker.loads("on GPU 1")
    assert (instance.is_serving, instance.note) == (True, "on GPU 1")
    world.fronts.attached[worker.id] = offer().key
    instance.drain()
    world.fronts.drained(worker.id)
    instance.stop()
    worker.dies(0)
    assert owner.told == ["placed", "opened", "loaded", "detached", "gone"]
    assert not world.places.stays
    assert not world.time.pending()
    instance.check()


def test_it_waits_for_its_place_and_may_go_before_it_has_one() -> None:
    world, owner, instance = made()
    others = [Instance(index, owner, world.means) for index in (1, 2)]
    for one in (*others, instance):
        one.place()
    assert instance.phase is Phase.PLACING
    assert not instance.cancel()
    assert world.places.waiting == 0
    instance.check()


def test_fronts_that_do_not_let_go_have_their_time() -> None:
    world, owner, instance = made(drain_timeout_s=20.0)
    instance.place()
    world.workers.made[0].loads()
    world.fronts.attached[world.workers.made[0].id] = offer().key
    instance.drain()
    world.time.advance(20.0)
    assert owner.told[-1] == "detached"
    instance.resume()
    assert instance.is_serving


def test_words_that_come_too_late_mean_nothing() -> None:
    world, owner, instance = made()
    instance.place()
    (worker,) = world.workers.made
    assert instance.cancel()
    worker.loads()
    worker.fails()
    assert owner.told == ["placed"]
    worker.dies(-15)
    assert owner.told == ["placed", "gone"]


def test_a_refusal_and_a_load_that_takes_too_long() -> None:
    world, owner, instance = made(load_timeout_s=30.0)
    world.places.refusal = "no room"
    instance.place()
    assert owner.told == ["failed: no room"]
    assert not instance.may_try_again(lacks_memory=True)
    world.places.refusal = ""
    other = Instance(1, owner, world.means)
    other.place()
    world.time.advance(30.0)
    assert owner.told[-1] == "failed: it was not loaded within 30 s"
