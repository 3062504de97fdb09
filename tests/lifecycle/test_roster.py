"""Instances as a group: placed in free places, those that have come least far go first."""

from __future__ import annotations

from gateway.lifecycle.instance import Instance, Phase
from gateway.lifecycle.roster import Roster
from tests.fakes.worlds import World, catalogue, offer


def roster_of(instances: int) -> tuple[World, Roster]:
    """Of a version that loads."""
    world = World()
    world.lifecycle.reconcile(catalogue(offer(instances=instances)))
    world.lifecycle.on_activate(world.key, 5.0)
    return world, world.version.roster


def test_free_places_are_filled() -> None:
    world, roster = roster_of(3)
    for worker in (*world.workers.made, *world.workers.made[2:]):
        worker.loads()
    world.workers.made[2].loads()
    roster.retire(roster.current[1])
    roster.place(3)
    assert sorted(one.index for one in roster.current) == [0, 1, 2]
    roster.place(3)
    assert len(roster.current) == 3
    roster.check()


def test_those_that_have_come_least_far_go_first() -> None:
    world, roster = roster_of(3)
    world.workers.made[0].loads()
    phases = [one.phase for one in roster.current]
    assert phases == [Phase.SERVING, Phase.LOADING, Phase.LOADING]
    roster.shrink(2)
    assert [one.index for one in roster.current] == [0, 1]
    roster.shrink(1)
    assert [one.phase for one in roster.current] == [Phase.SERVING]
    assert [one.phase for one in roster.retired] == [Phase.STOPPING, Phase.STOPPING]
    assert roster.is_stopping
    roster.check()


def test_an_instance_waits_for_nothing_after_the_end() -> None:
    world, roster = roster_of(3)  # two load, one waits for a slot
    waiting = next(one for one in roster.current if one.phase is Phase.PLACING)
    roster.close()
    assert waiting.phase is Phase.RESTING
    assert world.places.waiting == 0
    assert isinstance(waiting, Instance)
