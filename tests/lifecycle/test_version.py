"""One version and its workers, step by step; time and processes are fakes."""

from __future__ import annotations

import logging

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.placement import Place, place_of
from gateway.lifecycle.facts import FirstInference, InstanceFailed, InstanceLoaded, WorkerDied
from gateway.lifecycle.states import State
from gateway.workers.messages import Progress
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


def test_a_front_that_asks_a_moment_too_early_is_told_again() -> None:
    """By its clock the failure is over, so that somebody waits there, and it asks once only."""
    world = World()
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[0].fails("a cyclic graph")
    world.time.advance(4.99)
    told = len(world.fronts.published)
    world.lifecycle.on_activate(world.key, 5.0)
    assert len(world.fronts.published) == told + 1
    view = world.fronts.world["m"].versions[0]
    assert (view.state, view.reason, view.retry_in_s) == ("failed", "a cyclic graph", pytest.approx(0.01))


def test_a_load_that_takes_too_long_has_failed() -> None:
    world = World(load_timeout_s=30.0)
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    world.time.advance(30.0)
    assert world.fronts.world["m"].versions[0].reason == "it was not loaded within 30 s"
    world.workers.made[0].loads()  # too late: nothing happens
    assert world.version.state is State.FAILED
    assert world.places.running == 0


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
    assert world.places.running == 0
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
    assert (world.places.running, world.places.waiting) == (0, 0)
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


# ---- to zero and back --------------------------------------------------------------------------------


def test_one_that_nobody_uses_goes_to_zero_and_stays_callable() -> None:
    world = World()
    (worker,) = world.ready()
    world.version.scale_to(0)
    assert (world.version.state, world.shown()) == (State.DRAINING, "absent")
    assert [entry.state for entry in world.lifecycle.index()] == ["READY"]
    world.fronts.drained(worker.id)
    assert worker.orders == ["stop"]
    worker.dies(0)
    assert world.version.state is State.ABSENT
    assert not world.places.stays
    world.lifecycle.on_activate(world.key, 5.0)
    world.workers.made[1].loads()
    assert world.shown() == "ready"


def test_a_request_that_comes_while_it_drains_turns_it_back() -> None:
    world = World()
    (worker,) = world.ready()
    for _ in range(3):
        world.version.scale_to(0)
        world.lifecycle.on_activate(world.key, 5.0)
        assert world.shown() == "loading"
        world.fronts.drained(worker.id)
        assert world.shown() == "ready"
        assert world.fronts.attached == {worker.id: world.key}
        world.lifecycle.check()
    assert worker.orders == []
    assert len(world.workers.made) == 1
    assert not world.time.pending()


def test_a_request_that_comes_too_late_to_turn_back_waits_for_the_next_load() -> None:
    world = World()
    (worker,) = world.ready()
    world.version.scale_to(0)
    world.fronts.drained(worker.id)
    world.lifecycle.on_activate(world.key, 5.0)
    assert (world.version.state, world.shown()) == (State.UNLOADING, "loading")
    worker.dies(0)
    world.workers.made[1].loads()
    assert world.shown() == "ready"


def test_one_that_is_withdrawn_or_another_does_not_turn_back() -> None:
    world = World()
    (worker,) = world.ready()
    world.version.scale_to(0)
    world.lifecycle.reconcile(catalogue(offer(fingerprint="b")))
    world.lifecycle.on_activate(world.key, 5.0)
    world.fronts.drained(worker.id)
    assert worker.orders == ["stop"]


def test_a_load_is_never_idle() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(instances=2)))
    world.lifecycle.on_activate(world.key, 5.0)
    world.version.scale_to(0)
    first, second = world.workers.made
    first.loads()
    assert not world.version.is_settled
    world.version.scale_to(0)
    assert world.shown() == "ready"
    second.loads()
    world.version.scale_to(0)
    assert world.shown() == "absent"


def test_more_instances_and_fewer() -> None:
    world = World()
    (first,) = world.ready()
    world.version.scale_to(3)
    assert (world.version.wanted, world.version.ready) == (3, 1)
    for worker in world.workers.made[1:]:
        worker.loads()
    assert world.version.is_settled
    assert [one.index for one in world.version.roster.current] == [0, 1, 2]
    world.version.scale_to(1)
    assert list(world.fronts.attached) == [first.id]
    _, second, third = world.workers.made
    world.version.scale_to(2)  # one of them is still there
    world.lifecycle.check()
    assert len(world.workers.made) == 4
    world.fronts.drained(third.id)
    assert third.orders == ["stop"]
    world.workers.made[3].loads()
    world.lifecycle.check()
    world.version.scale_to(1)
    for worker in (second, world.workers.made[3]):
        if worker.id in world.fronts.detaching:
            world.fronts.drained(worker.id)
    assert world.version.ready == 1


def test_scaled_from_zero() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer()))
    world.version.scale_to(2)
    assert len(world.workers.made) == 2
    assert world.shown() == "loading"


def test_another_needs_its_memory() -> None:
    world = World()
    (worker,) = world.ready()
    ((ticket, evict),) = world.places.stays.items()
    evict()
    evict()
    assert world.places.gone_soon == {ticket}
    assert world.shown() == "absent"
    world.lifecycle.on_activate(world.key, 5.0)
    world.fronts.drained(worker.id)
    assert worker.orders == ["stop"], "what was promised to another is not taken back"
    worker.dies(0)
    assert world.places.stays.keys() == {ticket + 1}
    world.workers.made[1].loads()
    assert world.shown() == "ready"


def test_one_of_two_gives_its_memory() -> None:
    world = World()
    first, second = world.ready(2)
    list(world.places.stays.values())[1]()
    assert world.fronts.attached == {first.id: world.key}
    world.fronts.drained(second.id)
    assert (world.version.wanted, world.shown()) == (1, "ready")
    world.lifecycle.check()


def test_too_little_memory_is_tried_again_once() -> None:
    world = World()
    world.places.has_another_try = True
    world.lifecycle.reconcile(catalogue(offer()))
    world.lifecycle.on_activate(world.key, 5.0)
    for number in range(2):
        world.workers.made[number].fails("CUDA out of memory", is_out_of_memory=True)
        world.lifecycle.check()
    assert len(world.workers.made) == 2
    assert world.shown() == "failed"


def test_what_fits_nowhere_fails_with_the_reason() -> None:
    world = World()
    world.places.refusal = "needs 8 GiB on GPU 0, which has 2 GiB"
    world.lifecycle.reconcile(catalogue(offer(instances=3)))
    world.lifecycle.on_activate(world.key, 5.0)
    assert world.fronts.world["m"].versions[0].reason == "needs 8 GiB on GPU 0, which has 2 GiB"
    assert not world.workers.made
    world.lifecycle.check()


def test_what_it_asks_for_and_what_it_is_measured_to_need() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(offer(instances=2)))
    world.lifecycle.on_activate(world.key, 5.0)
    first, second = world.workers.made
    first.opens()
    assert world.version.state is State.WARMING
    first.loads(memory_bytes=7)
    second.loads(memory_bytes=8)
    assert sorted(world.places.measured.values()) == [7, 8]
    second.dies()
    assert [ask.is_urgent for ask in world.places.asked.values()] == [True, True, False]


# ---- from a store ------------------------------------------------------------------------------------


def test_the_files_come_first() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(msgspec.structs.replace(offer(), source="s3")))
    world.lifecycle.on_activate(world.key, 5.0)
    world.lifecycle.on_activate(world.key, 5.0)
    assert (world.version.state, world.shown(), world.workers.made) == (State.FETCHING, "loading", [])
    world.time.advance(2.0)
    world.fetching.done("/cache/m/1")
    (worker,) = world.workers.made
    assert worker.load.path == "/cache/m/1"
    worker.loads()
    (fact,) = world.facts.told
    assert isinstance(fact, InstanceLoaded)
    assert fact.phases_s == {"fetch": 2.0, "session": 0.004}
    worker.dies()
    world.workers.made[1].loads()  # the files are still there
    world.version.scale_to(0)
    world.fronts.drained(world.workers.made[1].id)
    assert world.fetching.released == []
    world.workers.made[1].dies(0)
    assert world.fetching.released == ["/cache/m/1"]
    assert len(world.fetching.asked) == 1


def test_files_that_cannot_be_had_are_a_failed_load() -> None:
    world = World()
    world.lifecycle.reconcile(catalogue(msgspec.structs.replace(offer(), source="s3")))
    world.lifecycle.on_activate(world.key, 5.0)
    world.fetching.done("", "the store does not answer")
    view = world.fronts.world["m"].versions[0]
    assert (view.state, view.reason) == ("failed", "the store does not answer")
    world.time.advance(5.0)
    world.lifecycle.on_activate(world.key, 5.0)
    world.fetching.done()
    world.workers.made[0].loads()
    assert world.shown() == "ready"


def test_a_version_removed_while_its_files_come() -> None:
    world = World()
    stored = msgspec.structs.replace(offer(), source="s3")
    world.lifecycle.reconcile(catalogue(stored, offer("other")))
    world.lifecycle.on_activate(world.key, 5.0)
    world.lifecycle.reconcile(catalogue(offer("other")))
    assert world.fetching.open == []
    assert world.key not in world.lifecycle._versions


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
            "zero",
            "scale",
            "evict",
            "opens",
            "no memory",
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
            case "opens" if worker:
                worker.opens()
            case "no memory" if worker:
                world.places.has_another_try = bool(index % 2)
                if worker.id not in world.fronts.attached and not worker.orders:
                    worker.fails(is_out_of_memory=True)
            case "zero" | "scale" if world.key in world.lifecycle._versions:
                world.version.scale_to(0 if what == "zero" else 1 + index % 4)
            case "evict" if world.places.stays:
                list(world.places.stays.values())[index % len(world.places.stays)]()
            case "fails" if worker:
                worker.fails()
            case "dies" | "blameless" if worker:
                worker.dies(is_blameless=what == "blameless")
        world.lifecycle.check()
        alive_ids = {one.id for one in world.workers.alive}
        assert world.fronts.attached.keys() <= alive_ids
        if world.key in world.lifecycle._versions:
            assert set(world.version.roster.workers) == alive_ids
        assert len(world.places.stays) - world.places.waiting <= len(alive_ids)
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
        world.version.scale_to(instances)
        world.lifecycle.check()
    assert world.shown() == "ready"
    assert len(world.fronts.attached) == instances


def test_the_first_inference_is_told_once_it_serves() -> None:
    world = World()
    (worker,) = world.ready()
    worker.on_message(Progress("inferred", 0.25))
    assert FirstInference(world.key, 0.25) in world.facts.told
    assert world.shown() == "ready"
