"""One version and its workers, step by step; time and processes are fakes."""

from __future__ import annotations

import logging

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.placement import Place, place_of
from gateway.lifecycle.facts import InstanceFailed, InstanceLoaded, WorkerDied
from gateway.lifecycle.states import State
from tests.fakes.worlds import World, catalogue, offer


def test_nothing_is_loaded_until_somebody_waits() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer()))
    assert world.fronts.shown("m") == [(1, "absent")]
    assert not world.workers.made


def test_a_thousand_waiters_are_one_load() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer()))
    for _ in range(1000):
        world.lifecycle.on_activate(world.key, 5.0)
    (worker,) = world.workers.made
    assert world.shown() == "loading"
    assert worker.load.path == "/models/m/1"
    world.time.advance(0.02)
    worker.loads()
    for _ in range(1000):
        world.lifecycle.on_activate(world.key, 5.0)
    assert len(world.workers.made) == 1
    assert world.shown() == "ready"
    assert world.fronts.attached == {worker.id: world.key}
    (fact,) = world.facts.told
    assert fact == InstanceLoaded(world.key, 0.0, pytest.approx(0.02), {"session": 0.004})
    world.lifecycle.check()


def test_each_instance_has_its_place_and_tells_how_it_runs() -> None:
    world = World()
    on_two = offer(instances=2)
    on_two = msgspec.structs.replace(on_two, places=(Place("gpu", 1), Place("cpu")))
    world.lifecycle.reconcile(catalogue(on_two))
    world.lifecycle.on_activate(world.key, 5.0)
    one, other = world.workers.made
    assert [place_of(worker.load.options) for worker in (one, other)] == [Place("gpu", 1), Place("cpu")]
    one.loads("on GPU 1")
    other.loads("on the CPU: it said so")
    assert [entry.reason for entry in world.lifecycle.index()] == ["on GPU 1; on the CPU: it said so"]
    one.dies()
    assert [entry.reason for entry in world.lifecycle.index()] == ["on the CPU: it said so"]
    assert place_of(world.workers.made[2].load.options) == Place("gpu", 1)


def test_a_failed_load_is_remembered_for_a_while_and_then_forgiven() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[0].fails("a cyclic graph")
    view = world.fronts.world["m"].versions[0]
    assert (view.state, view.reason, view.retry_in_s) == ("failed", "a cyclic graph", 5.0)
    assert world.workers.made[0].orders == ["terminate"]
    world.workers.made[0].dies(0)
    world.time.advance(4.9)
    world.lifecycle.on_activate(world.key, 5.0)
    assert len(world.workers.made) == 1
    world.time.advance(0.2)
    assert world.shown() == "absent"
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[1].loads()
    assert world.shown() == "ready"
    assert [type(fact) for fact in world.facts.told] == [InstanceFailed, InstanceLoaded]


def test_a_load_that_takes_too_long_has_failed() -> None:
    world = World(load_timeout_s=30.0)
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    world.time.advance(30.0)
    assert world.fronts.world["m"].versions[0].reason == "it was not loaded within 30 s"
    world.workers.made[0].loads()  # too late: nothing happens
    assert world.version.state is State.FAILED
    assert world.gate.running == 0


def test_a_dead_worker_is_replaced_at_once() -> None:
    world = World()
    (worker,) = world.ready()
    worker.dies()
    assert world.shown() == "loading"
    assert not world.fronts.attached
    world.workers.made[1].loads()
    assert world.shown() == "ready"
    assert world.facts.told[1] == WorkerDied(world.key, "SIGKILL", "restart")


def test_while_others_serve_the_version_stays_ready() -> None:
    world = World()
    first, second = world.ready(2)
    published = len(world.fronts.published)
    first.dies()
    assert world.shown() == "ready"
    assert world.fronts.attached == {second.id: world.key}
    assert len(world.fronts.published) == published
    world.workers.made[2].loads()
    assert len(world.fronts.attached) == 2
    world.lifecycle.check()


def test_a_second_instance_that_does_not_load_leaves_the_first_serving() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(instances=2)))
    world.lifecycle.on_activate(world.key, 5.0)
    first, second = world.workers.made
    first.loads()
    second.fails("no memory")
    assert world.shown() == "ready"
    world.lifecycle.check()
    world.time.advance(30.0)
    world.workers.made[2].loads()
    assert len(world.fronts.attached) == 2


def test_a_crash_loop_backs_off_and_ends_in_quarantine() -> None:
    world = World()
    world.ready()
    waits = []
    for _ in range(4):
        before = world.time.now
        made = len(world.workers.made)
        world.workers.made[-1].dies(-11)
        while len(world.workers.made) == made:
            world.time.advance(0.01)
        waits.append(world.time.now - before)
    for wait, expected in zip(waits, (0.0, 0.5, 1.0, 2.0), strict=True):
        assert 0.8 * expected - 0.02 <= wait <= 1.2 * expected + 0.02
    world.workers.made[-1].dies(-11)
    view = world.fronts.world["m"].versions[0]
    assert (view.state, view.retry_in_s) == ("failed", 60.0)
    assert view.reason == "its worker died 5 times, lastly by SIGSEGV"
    assert world.gate.running == 0
    # Half open: one more death is enough.
    world.time.advance(61.0)
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[-1].dies(-11)
    assert world.shown() == "failed"
    world.lifecycle.check()


def test_a_quarantined_version_lets_its_other_instances_finish() -> None:
    world = World(crash_limit=1)
    first, second = world.ready(2)
    first.dies()
    assert world.shown() == "failed"
    assert not second.orders
    world.fronts.drained(second.id)
    assert second.orders == ["stop"]
    second.dies(0)
    world.lifecycle.check()


def test_the_zygotes_death_is_no_fault_of_the_model() -> None:
    world = World(crash_limit=1)
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    for _ in range(10):
        world.workers.made[-1].dies(None, is_blameless=True)
    world.workers.made[-1].loads()
    assert world.shown() == "ready"
    assert len(world.workers.made) == 11


def test_a_suspect_worker_is_killed_and_replaced() -> None:
    world = World()
    (worker,) = world.ready()
    world.lifecycle.on_suspect(worker.id, "a lying reply")
    world.lifecycle.on_suspect(999, "nobody")
    assert worker.orders == ["kill"]
    worker.dies()
    world.workers.made[1].loads()
    assert world.shown() == "ready"


def test_a_removed_version_drains_stops_and_is_forgotten() -> None:
    world = World()
    (worker,) = world.ready()
    other = offer("other")
    world.lifecycle.reconcile(catalogue(offer(), other))
    world.lifecycle.reconcile(catalogue(other))
    assert "m" not in world.fronts.world
    assert world.version.state is State.DRAINING
    assert not worker.orders
    world.fronts.drained(worker.id)
    assert world.version.state is State.UNLOADING
    assert worker.orders == ["stop"]
    worker.dies(0)
    assert world.key not in world.lifecycle._versions
    assert not world.time.pending()


def test_fronts_that_never_answer_do_not_keep_a_worker() -> None:
    world = World(drain_timeout_s=20.0)
    (worker,) = world.ready()
    world.lifecycle.reconcile(catalogue(offer("a"), offer("b"), offer("c")))
    world.lifecycle.reconcile(catalogue(offer("a"), offer("b"), offer("c")))
    world.time.advance(20.0)
    assert worker.orders == ["stop"]
    world.fronts.drained(worker.id)
    assert worker.orders == ["stop"]


def test_a_version_removed_while_it_loads() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(instances=3), offer("other")))
    world.lifecycle.on_activate(world.key, 5.0)
    world.lifecycle.reconcile(catalogue(offer("other")))
    assert [worker.orders for worker in world.workers.made] == [["terminate"], ["terminate"]]
    assert (world.gate.running, world.gate.waiting) == (0, 0)
    for worker in world.workers.made:
        worker.dies(-15)
    assert world.key not in world.lifecycle._versions


def test_a_version_that_comes_back_while_it_drains_loads_again() -> None:
    world = World()
    (worker,) = world.ready()
    world.lifecycle.reconcile(catalogue(offer(), offer("other")))
    world.lifecycle.reconcile(catalogue(offer("other")))
    world.lifecycle.on_activate(world.key, 5.0)  # nobody can see it: ignored
    world.lifecycle.reconcile(catalogue(offer(), offer("other")))
    assert world.shown() == "absent"
    world.lifecycle.on_activate(world.key, 5.0)
    assert world.shown() == "loading"
    world.fronts.drained(worker.id)
    assert len(world.workers.made) == 1
    worker.dies(0)
    world.workers.made[1].loads()
    assert world.shown() == "ready"
    world.lifecycle.check()


def test_a_served_version_does_not_change(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.ready()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            world.lifecycle.reconcile(catalogue(offer(fingerprint="b")))
    assert len([r for r in caplog.records if "VERSION_MUTATED" in r.message]) == 1
    assert world.shown() == "ready"
    assert len(world.workers.made) == 1


def test_a_version_that_failed_and_was_mended_can_be_loaded_at_once() -> None:
    world = World(load_failure_memory_s=1000.0)
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[0].fails()
    world.lifecycle.reconcile(catalogue(offer(fingerprint="b")))
    assert world.shown() == "absent"
    assert not world.time.pending()
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[1].loads()
    assert world.shown() == "ready"


def test_after_close_deaths_are_not_answered() -> None:
    world = World()
    (worker,) = world.ready()
    world.lifecycle.close()
    worker.dies(0)
    world.lifecycle.on_activate(world.key, 5.0)
    assert len(world.workers.made) == 1


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([
            "activate",
            "loads",
            "fails",
            "dies",
            "blameless",
            "offer",
            "withdraw",
            "drained",
            "time",
            "mutate",
        ]),
        st.integers(0, 20),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(1, 3))
def test_no_order_of_events_breaks_an_invariant(events: list[tuple[str, int]], instances: int) -> None:
    world = World()
    fingerprint = "a"
    for what, index in events:
        alive = world.workers.alive
        worker = alive[index % len(alive)] if alive else None
        match what:
            case "activate":
                world.lifecycle.on_activate(world.key, 5.0)
            case "offer" | "mutate":
                fingerprint = str(index) if what == "mutate" else fingerprint
                offered = offer(instances=instances, fingerprint=fingerprint)
                world.lifecycle.reconcile(catalogue(offered, offer("other")))
            case "withdraw":
                for _ in range(2):
                    world.lifecycle.reconcile(catalogue(offer("other")))
            case "time":
                world.time.advance(index * index / 3)
            case "drained":
                if waiting := list(world.fronts.detaching):
                    world.fronts.drained(waiting[index % len(waiting)])
            case "loads" if worker:
                worker.loads()
            case "fails" if worker:
                worker.fails()
            case "dies" | "blameless" if worker:
                worker.dies(is_blameless=what == "blameless")
        world.lifecycle.check()
        alive_ids = {one.id for one in world.workers.alive}
        assert world.fronts.attached.keys() <= alive_ids
        if world.key in world.lifecycle._versions:
            assert set(world.version.workers) == alive_ids
    # Whatever happened: left alone with working workers and enough time, it can be called.
    world.lifecycle.reconcile(catalogue(offer(instances=instances, fingerprint=fingerprint), offer("other")))
    for _ in range(12):
        for worker in world.workers.alive:
            if worker.orders:
                worker.dies(0)
            elif worker.id not in world.fronts.attached and worker.id not in world.fronts.detaching:
                worker.loads()
        for one in list(world.fronts.detaching):
            world.fronts.drained(one)
        world.time.advance(61.0)
        world.lifecycle.on_activate(world.key, 5.0)
        world.lifecycle.check()
    assert world.shown() == "ready"
    assert len(world.fronts.attached) == instances
