"""The states of a model version, and the only ways between them.

absent      not loaded; the first request loads it
fetching    its files are on their way from a store; at once over for a local folder
placing     none of its instances has a place yet: memory and a load slot on some device
loading     a worker is being made, or reads the model
warming     a worker has read the model and runs its warm-up
ready       at least one instance serves
draining    not wanted now; fronts are taking their batches out, and a request that comes turns it back
unloading   its workers are told to stop; requests that come now wait for the next load
asleep      its GPU is given back, and its weights wait in host memory; the first request wakes it
failed      not loadable for a while, with a reason

While none serves, the state is that of the instance that has come furthest.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class State(enum.Enum):
    """Where a version is."""

    ABSENT = "absent"
    FETCHING = "fetching"
    PLACING = "placing"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    UNLOADING = "unloading"
    ASLEEP = "asleep"
    FAILED = "failed"


class Event(enum.Enum):
    """What can happen to it."""

    ACTIVATE = "activate"  # somebody waits for it
    FETCHED = "fetched"  # its files are here
    PLACED = "placed"  # an instance has its place, and a worker
    OPENED = "opened"  # a worker has read the model
    LOADED = "loaded"  # an instance is ready
    LOAD_FAILED = "load_failed"  # it was refused, and no instance serves
    LOST = "lost"  # an instance died; others serve, or it was not ready yet
    LAST_LOST = "last_lost"  # the last serving instance died
    CRASHED = "crashed"  # it died too often
    RELEASE = "release"  # nobody uses it, or another needs its memory
    WITHDRAW = "withdraw"  # the repository or the policy does not have it any more, or it was unloaded
    RESUMED = "resumed"  # somebody waits for it, and an instance was still there
    DRAINED = "drained"  # no front has a batch in it
    STOPPED = "stopped"  # none of its workers is left
    SLEPT = "slept"  # none is left but one, which keeps the weights
    FORGIVE = "forgive"  # the time to remember a failure is over


class IllegalTransition(Exception):
    """An event that cannot happen in this state did: a fault of the gateway, never of a caller."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value} in state {state.value}")
        self.state = state
        self.event = event


_S, _E = State, Event

# While its instances come up, none of which serves.
_COMING = (_S.PLACING, _S.LOADING, _S.WARMING)
LOADED = frozenset({_S.FETCHING, *_COMING, _S.READY})
GOING = frozenset({_S.DRAINING, _S.UNLOADING})

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType({
    (_S.ABSENT, _E.ACTIVATE): _S.FETCHING,
    (_S.ABSENT, _E.WITHDRAW): _S.ABSENT,
    (_S.FETCHING, _E.ACTIVATE): _S.FETCHING,
    (_S.FETCHING, _E.FETCHED): _S.PLACING,
    (_S.FETCHING, _E.LOAD_FAILED): _S.FAILED,
    (_S.FETCHING, _E.WITHDRAW): _S.UNLOADING,
    **{(state, _E.ACTIVATE): state for state in _COMING},
    **{(state, _E.PLACED): _S.LOADING for state in _COMING[:2]},
    (_S.WARMING, _E.PLACED): _S.WARMING,
    **{(state, _E.OPENED): _S.WARMING for state in _COMING[1:]},
    **{(state, _E.LOADED): _S.READY for state in _COMING[1:]},
    **{(state, _E.LOAD_FAILED): _S.FAILED for state in _COMING},
    **{(state, _E.LOST): _S.PLACING for state in _COMING},
    **{(state, _E.CRASHED): _S.FAILED for state in _COMING},
    **{(state, _E.WITHDRAW): _S.UNLOADING for state in _COMING},
    **{(_S.READY, event): _S.READY for event in (_E.ACTIVATE, _E.PLACED, _E.OPENED, _E.LOADED, _E.LOST)},
    (_S.READY, _E.LAST_LOST): _S.PLACING,
    (_S.READY, _E.CRASHED): _S.FAILED,
    (_S.READY, _E.RELEASE): _S.DRAINING,
    (_S.READY, _E.WITHDRAW): _S.DRAINING,
    (_S.DRAINING, _E.ACTIVATE): _S.DRAINING,
    (_S.DRAINING, _E.WITHDRAW): _S.DRAINING,
    (_S.DRAINING, _E.RESUMED): _S.READY,
    (_S.DRAINING, _E.DRAINED): _S.UNLOADING,
    (_S.UNLOADING, _E.ACTIVATE): _S.UNLOADING,
    (_S.UNLOADING, _E.WITHDRAW): _S.UNLOADING,
    (_S.UNLOADING, _E.STOPPED): _S.ABSENT,
    (_S.UNLOADING, _E.SLEPT): _S.ASLEEP,
    (_S.ASLEEP, _E.ACTIVATE): _S.FETCHING,
    (_S.ASLEEP, _E.RELEASE): _S.UNLOADING,
    (_S.ASLEEP, _E.WITHDRAW): _S.UNLOADING,
    (_S.FAILED, _E.ACTIVATE): _S.FAILED,
    (_S.FAILED, _E.FORGIVE): _S.ABSENT,
    (_S.FAILED, _E.WITHDRAW): _S.ABSENT,
})


def after(state: State, event: Event) -> State:
    """The state that follows; raises IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None
