"""A new version comes: the old one serves until it is ready, comes back if it fails, and is then gone."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.lifecycle.handover import Handovers
from gateway.lifecycle.states import State
from tests.fakes.worlds import FakeWorker, World, catalogue, offer

NEW = catalogue(offer(version=2), offer("other"))


def serving() -> tuple[World, FakeWorker]:
    """Version 1 serves beside another model."""
    world = World()
    world.lifecycle.reconcile(catalogue(offer(), offer("other")))
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[0].loads()
    return world, world.workers.made[0]


def test_the_old_one_serves_until_the_new_one_is_ready() -> None:
    world, old = serving()
    world.lifecycle.reconcile(NEW)
    assert world.fronts.shown("m") == [(1, "ready"), (2, "loading")]
    world.lifecycle.reconcile(NEW)
    world.lifecycle.check()
    assert world.fronts.attached == {old.id: world.key}
    new = world.workers.made[1]
    new.loads()
    assert world.fronts.shown("m") == [(2, "ready")]
    assert world.fronts.attached == {new.id: offer(version=2).key}
    world.fronts.drained(old.id)
    old.dies(0)
    assert world.key not in world.lifecycle._versions
    world.lifecycle.check()


def test_one_that_is_not_loaded_goes_at_once() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(), offer("other")))
    world.lifecycle.reconcile(NEW)
    assert world.fronts.shown("m") == [(2, "absent")]
    assert not world.workers.made


def test_the_new_one_fails_and_the_old_one_serves_on(caplog: pytest.LogCaptureFixture) -> None:
    world, old = serving()
    with caplog.at_level(logging.WARNING):
        world.lifecycle.reconcile(NEW)
        world.workers.made[1].fails("a cyclic graph")
        for _ in range(3):
            world.lifecycle.reconcile(NEW)
            world.time.advance(10.0)
    assert "gives way to version 2: it failed: this one serves on" in caplog.text
    assert world.fronts.shown("m") == [(1, "ready"), (2, "absent")]
    assert len(world.workers.made) == 2, "it is not tried again and again"
    assert world.fronts.attached == {old.id: world.key}
    world.lifecycle.reconcile(catalogue(offer(version=2, fingerprint="mended"), offer("other")))
    world.workers.made[2].loads()
    assert world.fronts.shown("m") == [(2, "ready")]


def test_a_third_version_is_tried_after_a_second_that_failed() -> None:
    world, _ = serving()
    world.lifecycle.reconcile(NEW)
    world.workers.made[1].fails()
    world.lifecycle.reconcile(catalogue(offer(version=3), offer("other")))
    world.workers.made[2].loads()
    assert world.fronts.shown("m") == [(3, "ready")]


def test_without_memory_for_both_the_old_one_goes_first() -> None:
    world, old = serving()
    world.places.refusal = "there is no room"
    world.lifecycle.reconcile(NEW)  # refused, put out, and refused again: it was not yet gone
    assert world.version.state is State.DRAINING
    assert world.lifecycle.states()["m", 2] == "failed"
    world.places.refusal = ""
    world.fronts.drained(old.id)
    assert old.orders == [], "it was wanted back, and was still there"
    assert world.fronts.shown("m")[0] == (1, "ready")


def test_the_old_one_that_went_first_comes_back_when_the_new_one_fails() -> None:
    world, old = serving()
    world.lifecycle.reconcile(NEW)
    new = world.workers.made[1]
    new.fails("no memory", is_out_of_memory=True)
    assert world.version.state is State.DRAINING
    again = world.workers.made[2]
    assert (again.load.spec.version, world.fronts.shown("m")) == (2, [(1, "absent"), (2, "loading")])
    world.fronts.drained(old.id)
    old.dies(0)
    again.fails("a cyclic graph")
    back = world.workers.made[3]
    assert back.load.spec.version == 1
    back.loads()
    assert world.fronts.shown("m")[0] == (1, "ready")
    world.lifecycle.check()


def test_the_old_one_that_went_first_is_gone_when_the_new_one_is_ready() -> None:
    world, old = serving()
    world.lifecycle.reconcile(NEW)
    world.workers.made[1].fails("no memory", is_out_of_memory=True)
    world.workers.made[2].loads()
    assert world.fronts.shown("m") == [(2, "ready")]
    world.fronts.drained(old.id)
    old.dies(0)
    world.lifecycle.check()
    assert world.key not in world.lifecycle._versions


def test_an_old_one_that_nobody_uses_any_more_need_not_wait() -> None:
    world, old = serving()
    world.lifecycle.reconcile(NEW)
    world.version.scale_to(0)
    assert world.fronts.shown("m") == [(2, "loading")]
    world.fronts.drained(old.id)
    old.dies(0)
    assert world.key not in world.lifecycle._versions


def test_one_that_comes_back_does_not_give_way() -> None:
    world, old = serving()
    world.lifecycle.reconcile(NEW)
    world.lifecycle.reconcile(catalogue(offer(), offer(version=2), offer("other")))
    world.workers.made[1].loads()
    assert world.fronts.shown("m") == [(1, "ready"), (2, "ready")]
    assert old.orders == []


def test_an_unload_ends_both() -> None:
    world, old = serving()
    world.lifecycle.reconcile(NEW)
    world.lifecycle.unload("m")
    assert old.id in world.fronts.detaching
    assert world.workers.made[1].orders == ["terminate"]
    assert [one.version for one in world.lifecycle.index() if one.name == "m"] == [2]


def test_a_load_tells_of_the_new_version_alone() -> None:
    world, old = serving()
    outcomes: list[str] = []
    world.lifecycle.load("m", catalogue(offer(version=2)), outcomes.append)
    world.workers.made[1].fails("no good")
    assert outcomes == ["version 2: no good"]
    assert world.fronts.attached == {old.id: world.key}


def test_nothing_is_known_of_what_never_gave_way() -> None:
    handovers = Handovers({})
    handovers.forget(offer().key)
    handovers.try_again("m")
    handovers.settle_all()
    assert not handovers.outgoing("m")
    assert offer().key not in handovers


EVENTS = (
    "new",
    "back",
    "newer",
    "loads",
    "fails",
    "no memory",
    "dies",
    "drained",
    "zero",
    "time",
    "activate",
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 5)), max_size=40))
def test_in_whatever_order_something_serves_or_can_be_called(events: list[tuple[str, int]]) -> None:
    world, _ = serving()
    offered = 1
    for what, index in (*events, ("new", 0)):
        alive = [one for one in world.workers.alive if not one.orders and one.id not in world.fronts.attached]
        alive = [one for one in alive if one.id not in world.fronts.detaching]
        worker = alive[index % len(alive)] if alive else None
        match what:
            case "new" | "back" | "newer":
                offered = {"new": 2, "back": 1, "newer": 3}[what]
                world.lifecycle.reconcile(catalogue(offer(version=offered), offer("other")))
            case "loads" if worker:
                worker.loads()
            case "fails" | "no memory" if worker:
                worker.fails(is_out_of_memory=what == "no memory")
            case "dies" if world.workers.alive:
                world.workers.alive[index % len(world.workers.alive)].dies()
            case "drained" if world.fronts.detaching:
                world.fronts.drained(next(iter(world.fronts.detaching)))
            case "zero":
                for version in tuple(world.lifecycle._versions.values()):
                    version.scale_to(0)
            case "call":
                world.lifecycle.on_activate(offer(version=offered).key, 5.0)
            case "time":
                world.time.advance(7.0 * index)
        world.lifecycle.check()
        assert offered in [number for number, _ in world.fronts.shown("m")]
    # Left alone with workers that load, only what is offered is left.
    for _ in range(8):
        for worker in world.workers.alive:
            if worker.orders:
                worker.dies(0)
            elif worker.id not in world.fronts.attached and worker.id not in world.fronts.detaching:
                worker.loads()
        for one in list(world.fronts.detaching):
            world.fronts.drained(one)
        world.time.advance(61.0)
        world.lifecycle.on_activate(offer(version=offered).key, 5.0)
        world.lifecycle.check()
    assert world.fronts.shown("m") == [(offered, "ready")]
