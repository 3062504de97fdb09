"""A version's state in the words of the model repository extension. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.control.questions import IndexEntry, IndexState
from gateway.core.model import ModelKey

# Whatever can be called is ready, loaded or not: as GET …/ready says.
_SHOWN: Mapping[str, tuple[IndexState, str]] = MappingProxyType({
    "absent": ("READY", "it loads at the first request"),
    "loading": ("LOADING", ""),
    "ready": ("READY", ""),
    "draining": ("UNLOADING", ""),
    "unloading": ("UNLOADING", ""),
    "failed": ("UNAVAILABLE", ""),
})


def entry_of(key: ModelKey, state: str, failure: str, notes: Iterable[str]) -> IndexEntry:
    """The entry of a version: why it failed, or what its instances say of how they run."""
    shown, reason = _SHOWN[state]
    if state == "failed":
        reason = failure
    elif state == "ready":
        reason = "; ".join(sorted({note for note in notes if note}))
    return IndexEntry(key.name, key.version, shown, reason)
