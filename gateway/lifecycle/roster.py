"""The copies of one version: those it wants, and the retired ones, whose end is still to come."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gateway.lifecycle.instance import Instance, Owner, Phase
from gateway.lifecycle.means import Means
from gateway.lifecycle.states import Event, State, after

log = logging.getLogger("gateway.lifecycle")


class Roster:
    """Invariant: `current` and `retired` are disjoint, and every retired one has a worker."""

    def __init__(self, owner: Owner, means: Means) -> None:
        self._owner = owner
        self._means = means
        self.current: list[Instance] = []
        self.retired: list[Instance] = []

    @property
    def ready(self) -> int:
        """Instances that can take batches."""
        return sum(instance.is_serving for instance in self.current)

    @property
    def is_settled(self) -> bool:
        """True while no worker of them loads; those that wait for memory or another try may wait for ever."""
        return not self.has(Phase.LOADING, Phase.WARMING)

    @property
    def is_stopping(self) -> bool:
        """True when no front has a batch in a retired one."""
        return all(instance.phase is Phase.STOPPING for instance in self.retired)

    @property
    def workers(self) -> Sequence[int]:
        """Ids of all workers, the retired ones included."""
        return [one.worker.id for one in (*self.current, *self.retired) if one.worker]

    def pids(self) -> Sequence[int]:
        """The processes that serve."""
        return [one.worker.pid for one in self.current if one.is_serving and one.worker and one.worker.pid]

    def notes(self) -> Sequence[str]:
        """What those that serve say of how they run."""
        return [one.note for one in self.current if one.is_serving]

    def has(self, *phases: Phase) -> bool:
        """True while one of the wanted instances is in one of `phases`."""
        return any(instance.phase in phases for instance in self.current)

    def add(self, index: int) -> Instance:
        """One more, which does nothing yet."""
        instance = Instance(index, self._owner, self._means)
        self.current.append(instance)
        return instance

    def place(self, count: int) -> None:
        """Places new ones until there are `count`, in the places that are free."""
        taken = {instance.index for instance in self.current}
        free = [index for index in range(count) if index not in taken]
        for instance in [self.add(index) for index in free[: count - len(self.current)]]:
            if instance in self.current:  # none is left once one has failed
                instance.place()

    def shrink(self, count: int) -> None:
        """Retires those that have come least far until `count` are left."""
        surplus = max(0, len(self.current) - count)
        for instance in sorted(self.current, key=lambda one: (one.phase, -one.index))[:surplus]:
            self.retire(instance)

    def retire(self, instance: Instance) -> None:
        """Takes one away: drained where it serves, ended at once where it does not yet."""
        self.current.remove(instance)
        if instance.is_serving:
            self.retired.append(instance)
            instance.drain()
        elif instance.cancel():
            self.retired.append(instance)

    def retire_all(self) -> None:
        """Takes all away, those that wait first: a slot that another gives back must not start them."""
        for instance in sorted(self.current, key=lambda one: one.worker is not None):
            self.retire(instance)

    def resume(self, instance: Instance) -> None:
        """Has a retired one, which fronts have let go, serve again."""
        self.retired.remove(instance)
        self.current.append(instance)
        instance.resume()

    def suspect(self, worker_id: int, told: str, reason: str) -> None:
        """Ends one that fronts cannot rely on, and says so in the log; harmless for one that is no more."""
        if worker_id in self.workers:
            log.warning("%s", told)
            self.kill(worker_id, reason)

    def kill(self, worker_id: int, reason: str) -> None:
        """Ends one of the wanted ones by force, which counts as a death."""
        for instance in self.current:
            if instance.worker and instance.worker.id == worker_id:
                instance.kill(reason)

    def close(self) -> None:
        """The gateway ends: nothing is started any more."""
        for instance in (*self.current, *self.retired):
            instance.close()

    def check(self) -> None:
        """Asserts the invariants."""
        assert not {*map(id, self.current)} & {*map(id, self.retired)}
        assert all(one.worker is not None for one in self.retired)
        for instance in (*self.current, *self.retired):
            instance.check()


def fallen_back(state: State, roster: Roster) -> State:
    """What a version is in when none of its instances serves, and one was lost: as far as the others are."""
    if state is State.PLACING and roster.has(Phase.LOADING, Phase.WARMING):
        state = after(state, Event.PLACED)
    if state is State.LOADING and roster.has(Phase.WARMING):
        state = after(state, Event.OPENED)
    return state
