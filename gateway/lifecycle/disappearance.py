"""A repository that suddenly lists much less is not believed at once. Pure.

A mount that is not there yet, a listing cut short, a deploy between delete and copy: unloading all
that serves would turn somebody's glitch into an outage.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.model import ModelKey

Keys = frozenset[ModelKey]

# More than this share gone in one look must be seen in a second one.
BELIEVED_SHARE = 0.5


class Belief(NamedTuple):
    """`gone` may be taken away now; `doubted` must be handed in with the next look."""

    gone: Keys
    doubted: Keys


def believe(known: Keys, seen: Keys, doubted: Keys) -> Belief:
    """What of `known` is really gone; `doubted` is what the look before found gone and kept.

    What was doubted and is missing again is gone. The rest of what is missing goes at once unless it
    is more than half of what is known and was not doubted before.
    """
    missing = known - seen
    confirmed = missing & doubted
    fresh = missing - confirmed
    if len(missing) <= BELIEVED_SHARE * len(known):
        return Belief(missing, frozenset())
    return Belief(confirmed, fresh)
