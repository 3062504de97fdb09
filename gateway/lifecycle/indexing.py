"""A version's state as fronts see it, and in the words of the model repository extension. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.control.messages import VersionState, VersionView
from gateway.control.questions import IndexEntry, IndexState
from gateway.core.model import ModelKey, ModelSpec
from gateway.lifecycle.offers import Offer
from gateway.lifecycle.states import GOING, LOADED, State

# Whatever can be called is ready, loaded or not: as GET …/ready says.
_SHOWN: Mapping[State, tuple[IndexState, str]] = MappingProxyType({
    State.ABSENT: ("READY", "it loads at the first request"),
    State.FETCHING: ("LOADING", ""),
    State.PLACING: ("LOADING", ""),
    State.LOADING: ("LOADING", ""),
    State.WARMING: ("LOADING", ""),
    State.READY: ("READY", ""),
    State.DRAINING: ("UNLOADING", ""),
    State.UNLOADING: ("UNLOADING", ""),
    State.ASLEEP: ("READY", "it is asleep: its weights wait in host memory for the first request"),
    State.FAILED: ("UNAVAILABLE", ""),
})


def shown_state(state: State, *, is_awaited: bool) -> VersionState:
    """What fronts see: one that is on its way out may be called as one that is not there."""
    if state is State.READY:
        return "ready"
    if state is State.FAILED:
        return "failed"
    return "loading" if state in LOADED or is_awaited else "absent"


def view_of(
    state: State, offer: Offer, spec: ModelSpec | None, why: str, retry_in_s: float, *, is_awaited: bool
) -> VersionView:
    """What fronts are to see of a version; `why` and `retry_in_s` are of one that failed."""
    number, config, graph = offer.key.version, offer.config, offer.ensemble
    if state is State.FAILED:
        return VersionView(number, "failed", spec, why, retry_in_s, config)
    shown = "ready" if graph else shown_state(state, is_awaited=is_awaited)
    return VersionView(number, shown, spec, config=config, ensemble=graph)


def told_state(state: State, *, is_awaited: bool, is_withdrawn: bool) -> State:
    """What the index tells of a state: nothing of an end that a request may turn back."""
    if is_withdrawn or state not in GOING:
        return state
    return State.PLACING if is_awaited else State.ABSENT


def entry_of(key: ModelKey, state: State, failure: str, notes: Iterable[str]) -> IndexEntry:
    """The entry of a version: why it failed, or what its instances say of how they run."""
    shown, reason = _SHOWN[state]
    if state is State.FAILED:
        reason = failure
    elif state is State.READY:
        reason = "; ".join(sorted({note for note in notes if note}))
    return IndexEntry(key.name, key.version, shown, reason)
