"""What is held against a version, and for how long."""

from __future__ import annotations

from gateway.lifecycle.failures import Failures
from gateway.workers.restart import Quarantine, Restart
from tests.fakes.worlds import World


def test_a_failure_is_remembered_and_then_over() -> None:
    world, over = World(), list[int]()
    failures = Failures(world.means, lambda: over.append(1))
    failures.remember("no good", 5.0, lacks_memory=True)
    assert (failures.reason, failures.lacks_memory) == ("no good", True)
    assert failures.retry_in_s(world.time.now + 2.0) == 3.0
    failures.remember("worse", 10.0, lacks_memory=False)
    world.time.advance(9.0)
    assert over == []
    world.time.advance(1.0)
    assert over == [1]
    assert failures.retry_in_s(world.time.now + 1.0) == 0.0


def test_what_is_forgotten_is_never_over() -> None:
    world, over = World(), list[int]()
    failures = Failures(world.means, lambda: over.append(1))
    failures.remember("no good", 5.0, lacks_memory=False)
    failures.forget()
    world.time.advance(10.0)
    assert (over, failures.reason) == ([], "")


def test_deaths_add_up_until_they_are_forgotten() -> None:
    world = World(crash_limit=3)
    failures = Failures(world.means, lambda: None)
    assert failures.died() == Restart(0.0)
    assert isinstance(failures.died(), Restart)
    assert isinstance(failures.died(), Quarantine)
    assert failures.deaths == 3
    failures.forget_deaths()
    assert failures.died() == Restart(0.0)
