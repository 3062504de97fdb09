"""Many versions of many models under one repository."""

from __future__ import annotations

import logging

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    assert world.lifecycle.statistics() == LifecycleStatistics({"loading": 2, "placing": 3}, 2, 3)
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


# ---- on somebody's word ------------------------------------------------------------------------------


def entries(world: World) -> list[tuple[str, int, str, str]]:
    return [(one.name, one.version, one.state, one.reason) for one in world.lifecycle.index()]


def test_an_unloaded_model_has_no_versions_until_it_is_loaded() -> None:
    world = World()
    (worker,) = world.ready()
    world.lifecycle.unload("m")
    assert world.fronts.world["m"] == ModelView("m", ())
    assert worker.id in world.fronts.detaching, "what it has in hand is finished"
    assert entries(world) == [("m", 1, "UNAVAILABLE", "unloaded")]
    world.fronts.drained(worker.id)
    worker.dies(0)
    world.lifecycle.check()
    world.lifecycle.on_activate(world.key, 5.0)
    for seen in (
        catalogue(offer(fingerprint="b")),
        catalogue(),
        catalogue(),
        catalogue(offer(), offer(version=2)),
    ):
        world.lifecycle.reconcile(seen)
        assert world.fronts.shown("m") == []
    assert len(world.workers.made) == 1
    assert [one[:2] for one in entries(world)] == [("m", 1), ("m", 2)]
    outcomes: list[str] = []
    world.lifecycle.load("m", catalogue(offer(), offer(version=2)), outcomes.append)
    for made in world.workers.made[1:]:
        assert outcomes == []
        made.loads()
    assert outcomes == [""]
    assert entries(world) == [("m", 1, "READY", ""), ("m", 2, "READY", "")]
    world.lifecycle.check()


def test_unloads_of_what_is_not_there_or_is_broken() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer("a"), broken={"b": "bad"}))
    world.lifecycle.unload("nobody")
    world.lifecycle.unload("b")
    world.lifecycle.unload("b")
    assert sorted(world.fronts.world) == ["a", "b"]
    assert entries(world) == [
        ("a", 1, "READY", "it loads at the first request"),
        ("b", 0, "UNAVAILABLE", "unloaded"),
    ]
    assert not world.lifecycle.is_unloaded("nobody")
    world.lifecycle.reconcile(catalogue(offer("a"), offer("nobody")))
    assert sorted(world.fronts.world) == ["a", "nobody"], "what is gone is not found, unloaded or not"


def test_the_index_tells_every_state() -> None:
    world = World()
    world.ready()
    seen = [offer(), offer("bad"), offer("busy"), offer("cold"), offer("going")]
    world.lifecycle.reconcile(catalogue(*seen, broken={"broken": "a typing error", "m": "another"}))
    for name in ("bad", "busy"):
        world.lifecycle.on_activate(offer(name).key, 5.0)
    next(one for one in world.workers.alive if one.load.spec.name == "bad").fails("no good")
    world.lifecycle.on_activate(offer("going").key, 5.0)
    next(one for one in world.workers.alive if one.load.spec.name == "going").loads()
    world.lifecycle.reconcile(catalogue(*seen[:-1], broken={"broken": "a typing error"}))
    assert entries(world) == [
        ("bad", 1, "UNAVAILABLE", "no good"),
        ("broken", 0, "UNAVAILABLE", "a typing error"),
        ("busy", 1, "LOADING", ""),
        ("cold", 1, "READY", "it loads at the first request"),
        ("going", 1, "UNLOADING", ""),
        ("m", 1, "READY", ""),
    ]


def test_a_load_of_what_is_loaded_and_unchanged_changes_nothing() -> None:
    world = World()
    world.ready()
    outcomes: list[str] = []
    world.lifecycle.load("m", catalogue(offer()), outcomes.append)
    assert outcomes == [""]
    assert len(world.workers.made) == 1
    assert world.shown() == "ready"


def test_a_load_of_what_has_changed_drains_it_and_loads_it_anew() -> None:
    world = World()
    (old,) = world.ready()
    outcomes: list[str] = []
    world.lifecycle.load("m", catalogue(offer(fingerprint="b", instances=2)), outcomes.append)
    assert world.shown() == "loading"
    assert not world.fronts.attached
    world.fronts.drained(old.id)
    old.dies(0)
    assert outcomes == []
    first, _ = world.workers.made[1:]
    first.loads()
    assert outcomes == [""]
    assert world.shown() == "ready"
    world.lifecycle.check()


def test_a_load_tells_which_version_failed_and_why() -> None:
    world = World()
    both = catalogue(offer(), offer(version=2))
    world.lifecycle.reconcile(both)
    outcomes: list[str] = []
    world.lifecycle.load("m", both, outcomes.append)
    world.workers.made[0].loads()
    world.workers.made[1].fails("a cyclic graph")
    assert outcomes == ["version 2: a cyclic graph"]
    world.workers.made[1].dies(0)
    world.lifecycle.load("m", both, outcomes.append)
    assert len(world.workers.made) == 3, "a load does not wait until a failure is forgiven"
    world.workers.made[2].loads()
    assert outcomes[1:] == [""]


def test_a_load_whose_model_goes_away_ends() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(), offer("a"), offer("b")))
    outcomes: list[str] = []
    world.lifecycle.load("m", catalogue(offer()), outcomes.append)
    world.lifecycle.reconcile(catalogue(offer("a"), offer("b")))
    assert outcomes == ["it is not in the repository any more"]


def test_what_is_taken_takes_over_when_it_is_ready() -> None:
    world = World()
    (old,) = world.ready()
    world.lifecycle.take("m", catalogue(offer(version=2), broken={}))
    assert world.fronts.shown("m") == [(1, "ready"), (2, "loading")]
    world.workers.made[1].loads()
    assert world.fronts.shown("m") == [(2, "ready")]
    world.fronts.drained(old.id)
    old.dies(0)
    world.lifecycle.activate("m")
    assert world.lifecycle.is_loaded("m")
    world.lifecycle.take("m", catalogue(broken={"m": "bad"}))
    assert world.fronts.world["m"] == ModelView("m", (), "bad")
    assert not world.lifecycle.is_loaded("m")
    world.lifecycle.check()


ACTIONS = (
    "look",
    "changed",
    "gone",
    "activate",
    "load",
    "anew",
    "unload",
    "loads",
    "fails",
    "dies",
    "drained",
    "time",
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ACTIONS), max_size=60), st.integers(0, 5))
def test_in_whatever_order_things_happen(actions: list[str], pick: int) -> None:
    world = World(crash_limit=3)
    world.lifecycle.reconcile(catalogue(offer(), offer("other")))
    outcomes: list[str] = []
    is_open = is_unloaded = False

    def done(reason: str) -> None:
        nonlocal is_open
        assert is_open, "told twice"
        is_open = False
        outcomes.append(reason)

    for action in (*actions, "look", "time", "time"):
        alive = [one for one in world.workers.alive if not one.orders]
        worker = alive[pick % len(alive)] if alive else None
        match action:
            case "look":
                world.lifecycle.reconcile(catalogue(offer(), offer("other")))
            case "changed":
                world.lifecycle.reconcile(catalogue(offer(fingerprint="b"), offer(version=2), offer("other")))
            case "gone":
                world.lifecycle.reconcile(catalogue(offer("other")))
            case "activate":
                world.lifecycle.on_activate(world.key, 5.0)
            case "load" | "anew" if not is_open:
                is_open, is_unloaded = True, False
                offers = (offer(fingerprint="c"),) if action == "anew" else (offer(), offer(version=2))
                world.lifecycle.load("m", catalogue(*offers), done)
            case "unload" if not is_open:
                world.lifecycle.unload("m")
                is_unloaded = world.lifecycle.is_unloaded("m")
            case "loads" if worker and worker.id not in world.fronts.attached:
                worker.loads()
            case "fails" if worker and worker.id not in world.fronts.attached:
                worker.fails()
            case "dies" if world.workers.alive:
                world.workers.alive[pick % len(world.workers.alive)].dies()
            case "drained" if world.fronts.detaching:
                world.fronts.drained(next(iter(world.fronts.detaching)))
            case "time":
                world.time.advance(100.0)
        world.lifecycle.check()
        if is_unloaded:
            assert world.fronts.shown("m") == []
            assert {one.reason for one in world.lifecycle.index() if one.name == "m"} <= {"unloaded"}
        assert world.lifecycle.is_unloaded("m") == is_unloaded
