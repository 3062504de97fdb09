"""Many versions of many models under one repository."""

from __future__ import annotations

import logging

import msgspec
import pytest

from gateway.control.messages import ModelView
from gateway.control.views import unshared
from gateway.lifecycle.manager import LifecycleStatistics
from gateway.lifecycle.offers import Offer
from tests.fakes.ensembles import DIAMOND, Row, graph_of
from tests.fakes.worlds import World, catalogue, offer


def test_the_first_look_is_published_even_if_it_finds_nothing() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue())
    world.lifecycle.reconcile(catalogue())
    assert world.fronts.published == [((), ())]


def test_a_look_that_finds_nothing_new_tells_nothing() -> None:
    world = World()
    seen = catalogue(offer("a"), offer("b"), broken={"c": "bad"})
    world.lifecycle.reconcile(seen)
    world.lifecycle.reconcile(seen)
    assert len(world.fronts.published) == 1
    assert sorted(world.fronts.world) == ["a", "b", "c"]
    assert world.fronts.world["c"] == ModelView("c", (), "bad")


def test_a_new_version_appears_absent_beside_the_one_that_serves() -> None:
    world = World()
    world.ready()
    world.lifecycle.reconcile(catalogue(offer(), offer(version=10), offer(version=2)))
    assert world.fronts.shown("m") == [(1, "ready"), (2, "absent"), (10, "absent")]
    assert len(world.workers.made) == 1


def test_two_models_load_at_a_time_and_in_order() -> None:
    world = World(load_slots=2)
    offers = [offer(f"m{number}") for number in range(5)]
    world.lifecycle.reconcile(catalogue(*offers))
    for one in offers:
        world.lifecycle.on_activate(one.key, 5.0)
    assert [worker.load.spec.name for worker in world.workers.made] == ["m0", "m1"]
    assert world.lifecycle.statistics() == LifecycleStatistics({"loading": 5}, 2, 3)
    for number in range(5):
        world.workers.made[number].loads()
        world.lifecycle.check()
    assert [worker.load.spec.name for worker in world.workers.made] == [f"m{n}" for n in range(5)]
    assert world.lifecycle.states()["m4", 1] == "ready"


def test_an_unknown_version_is_not_loaded() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(offer("other").key, 5.0)
    world.lifecycle.on_activate(offer(version=2).key, 5.0)
    assert not world.workers.made


def test_an_empty_listing_is_not_believed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    (worker,) = world.ready()
    with caplog.at_level(logging.WARNING):
        world.lifecycle.reconcile(catalogue())
    assert "not believed yet" in caplog.text
    assert world.fronts.shown("m") == [(1, "ready")]
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.reconcile(catalogue())
    assert world.fronts.shown("m") == [(1, "ready")], "the doubt was over in between"
    world.lifecycle.reconcile(catalogue())
    assert world.fronts.shown("m") == []
    world.fronts.drained(worker.id)
    worker.dies(0)
    world.lifecycle.check()


def test_a_model_whose_configuration_breaks_goes_on_serving() -> None:
    world = World()
    world.ready()
    world.lifecycle.reconcile(catalogue(offer("idle"), offer()))
    for _ in range(2):
        world.lifecycle.reconcile(catalogue(broken={"m": "a typing error", "idle": "another"}))
    assert world.fronts.shown("m") == [(1, "ready")]
    assert world.fronts.world["idle"] == ModelView("idle", (), "another")
    world.lifecycle.reconcile(catalogue(offer("idle"), offer()))
    assert world.fronts.shown("idle") == [(1, "absent")]
    assert world.fronts.shown("m") == [(1, "ready")]


def test_labels_reach_the_fronts_and_move_without_a_load() -> None:
    world = World()
    (worker,) = world.ready()
    for labels in ({"m": {"stable": 1}}, {"m": {"stable": 1, "canary": 2}}, {}):
        world.lifecycle.reconcile(msgspec.structs.replace(catalogue(offer()), labels=labels))
        assert world.fronts.world["m"].labels == labels.get("m", {})
    assert world.workers.made == [worker]
    assert world.fronts.shown("m") == [(1, "ready")]


def test_labels_outlive_a_typing_error_and_a_doubted_look() -> None:
    world = World()
    world.ready()
    labelled = msgspec.structs.replace(catalogue(offer()), labels={"m": {"stable": 1}})
    world.lifecycle.reconcile(labelled)
    for look in (catalogue(broken={"m": "a typing error"}), labelled, catalogue()):
        world.lifecycle.reconcile(look)
        assert world.fronts.world["m"].labels == {"stable": 1}
    world.lifecycle.reconcile(catalogue(offer()))
    assert world.fronts.world["m"].labels == {}


def test_words_that_change_nothing_are_told_and_nothing_is_loaded() -> None:
    world = World()
    (worker,) = world.ready()
    world.lifecycle.reconcile(catalogue(msgspec.structs.replace(offer(), config=b"new words")))
    assert unshared(world.fronts.world["m"]).versions[0].config == b"new words"
    assert world.workers.made == [worker]


def test_ten_thousand_models_are_one_publication() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(*(offer(f"m{number}") for number in range(10_000))))
    assert len(world.fronts.published) == 1
    assert len(world.fronts.world) == 10_000


def ensemble(name: str = "e", fingerprint: str = "a", rows: tuple[Row, ...] = DIAMOND) -> Offer:
    one = msgspec.structs.replace(offer(name, fingerprint=fingerprint), ensemble=graph_of(rows))
    return msgspec.structs.replace(one, max_batch_known=True, runtime="", path="")


def test_an_ensemble_is_ready_and_never_loaded() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(ensemble()))
    world.lifecycle.on_activate(ensemble().key, 5.0)
    (view,) = world.fronts.world["e"].versions
    assert (view.state, view.ensemble, view.spec) == ("ready", graph_of(DIAMOND), ensemble().spec)
    assert world.workers.made == []
    assert world.lifecycle.states() == {("e", 1): "ready"}
    world.lifecycle.check()


def test_an_ensemble_that_is_written_anew_is_told_at_once() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(ensemble()))
    world.lifecycle.reconcile(catalogue(ensemble(fingerprint="b", rows=DIAMOND[:1])))
    assert world.fronts.world["e"].versions[0].ensemble == graph_of(DIAMOND[:1])


def test_an_ensemble_goes_on_when_a_part_of_it_becomes_faulty_and_one_that_never_was_sound_does_not() -> None:
    world = World()
    broken = {"e": "step 0 (model 'double'): config.pbtxt: a typing error", "f": "step 0: none"}
    world.lifecycle.reconcile(catalogue(offer(), ensemble()))
    for _ in range(2):
        world.lifecycle.reconcile(catalogue(offer(), broken=broken))
    assert world.fronts.shown("e") == [(1, "ready")]
    assert world.fronts.world["f"] == ModelView("f", (), "step 0: none")


def test_an_ensemble_that_is_removed_is_gone() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(), ensemble()))
    world.lifecycle.reconcile(catalogue(offer()))
    assert world.fronts.shown("e") == []
    world.lifecycle.check()


def test_a_model_becomes_an_ensemble_and_a_model_again() -> None:
    world = World()
    for one, state in ((offer("e"), "absent"), (ensemble(fingerprint="b"), "ready"), (offer("e"), "absent")):
        world.lifecycle.reconcile(catalogue(one))
        assert world.fronts.shown("e") == [(1, state)]
        world.lifecycle.check()
    world.lifecycle.on_activate(offer("e").key, 5.0)
    assert len(world.workers.made) == 1
