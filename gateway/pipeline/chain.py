"""Who waits for whom where models call each other: what keeps a call from waiting for itself."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.errors import Unsupported
from gateway.core.model import ModelKey
from gateway.scheduling.pending import Pending

MAX_DEPTH = 8


def chain_of(members: Sequence[Pending]) -> tuple[ModelKey, ...]:
    """The versions that wait while a batch of `members` runs, the one that runs it last.

    Raises Unsupported where they are too many for one more to be called.
    """
    if max(len(member.request.chain) for member in members) >= MAX_DEPTH:
        raise Unsupported(f"models call each other {MAX_DEPTH} deep, and no deeper")
    own = ModelKey(members[0].request.model, members[0].version)
    return (*dict.fromkeys(key for member in members for key in member.request.chain), own)


def refuse_circle(key: ModelKey, chain: Sequence[ModelKey]) -> None:
    """Raises Unsupported where `key` is to be called while it waits for that very answer."""
    if key in chain:
        way = " calls ".join(map(str, (*chain, key)))
        raise Unsupported(f"a model cannot be called from within its own execution: {way}")
