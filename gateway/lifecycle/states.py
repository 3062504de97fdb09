"""The states of a model version, and the only ways between them.

absent      not loaded; the first request loads it
loading     a worker is being made, or is loading; requests wait
ready       at least one instance serves
draining    no longer wanted; fronts are taking their batches out
unloading   its workers are told to stop; requests that come now wait for the next load
failed      not loadable for a while, with a reason
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class State(enum.Enum):
    """Where a version is."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    UNLOADING = "unloading"
    FAILED = "failed"


class Event(enum.Enum):
    """What can happen to it."""

    ACTIVATE = "activate"  # somebody waits for it
    LOADED = "loaded"  # an instance is ready
    LOAD_FAILED = "load_failed"  # the engine refused it, and no instance serves
    LOST = "lost"  # an instance died; others serve, or it was not ready yet
    LAST_LOST = "last_lost"  # the last serving instance died
    CRASHED = "crashed"  # it died too often
    WITHDRAW = "withdraw"  # the repository or the policy does not have it any more, or it was unloaded
    DRAINED = "drained"  # no front has a batch in it
    STOPPED = "stopped"  # none of its workers is left
    FORGIVE = "forgive"  # the time to remember a failure is over


class IllegalTransition(Exception):
    """An event that cannot happen in this state did: a fault of the gateway, never of a caller."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value} in state {state.value}")
        self.state = state
        self.event = event


_S, _E = State, Event

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType({
    (_S.ABSENT, _E.ACTIVATE): _S.LOADING,
    (_S.ABSENT, _E.WITHDRAW): _S.ABSENT,
    (_S.LOADING, _E.ACTIVATE): _S.LOADING,
    (_S.LOADING, _E.LOADED): _S.READY,
    (_S.LOADING, _E.LOAD_FAILED): _S.FAILED,
    (_S.LOADING, _E.LOST): _S.LOADING,
    (_S.LOADING, _E.CRASHED): _S.FAILED,
    (_S.LOADING, _E.WITHDRAW): _S.UNLOADING,
    (_S.READY, _E.ACTIVATE): _S.READY,
    (_S.READY, _E.LOADED): _S.READY,
    (_S.READY, _E.LOST): _S.READY,
    (_S.READY, _E.LAST_LOST): _S.LOADING,
    (_S.READY, _E.CRASHED): _S.FAILED,
    (_S.READY, _E.WITHDRAW): _S.DRAINING,
    (_S.DRAINING, _E.ACTIVATE): _S.DRAINING,
    (_S.DRAINING, _E.WITHDRAW): _S.DRAINING,
    (_S.DRAINING, _E.DRAINED): _S.UNLOADING,
    (_S.UNLOADING, _E.ACTIVATE): _S.UNLOADING,
    (_S.UNLOADING, _E.WITHDRAW): _S.UNLOADING,
    (_S.UNLOADING, _E.STOPPED): _S.ABSENT,
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
