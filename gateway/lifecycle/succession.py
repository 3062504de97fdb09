"""How a served version gives way to the one that replaces it. Pure.

beside      the new one loads while the old one serves, and takes over when it is ready
put_out     there is no memory for both: the old one has gone first, and comes back if the new one fails
given_up    the new one failed: the old one serves on until the new one changes, or loads after all
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Way(enum.Enum):
    """How far a succession is."""

    BESIDE = "beside"
    PUT_OUT = "put_out"
    GIVEN_UP = "given_up"


class Step(enum.Enum):
    """What is to be done next."""

    WAIT = "wait"
    START = "start"  # load the new one
    PUT_OUT = "put_out"  # release the old one, then load the new one
    KEEP = "keep"  # the old one serves on
    BRING_BACK = "bring_back"  # load the old one again
    FINISH = "finish"  # withdraw the old one


class Standing(enum.Enum):
    """Where the new version is: the best of its kind, if there are several."""

    READY = "ready"
    COMING = "coming"
    ABSENT = "absent"
    FAILED = "failed"
    LACKS_MEMORY = "lacks_memory"
    GONE = "gone"


class Next(NamedTuple):
    """A step, and how far the succession is then."""

    step: Step
    way: Way


_W, _S, _N = Way, Standing, Step

# What is in no row waits. A new version that is ready or gone ends it, however far it is.
_RULES: Mapping[tuple[Way, Standing], Next] = MappingProxyType({
    **{(way, standing): Next(_N.FINISH, way) for way in Way for standing in (_S.READY, _S.GONE)},
    (_W.BESIDE, _S.ABSENT): Next(_N.START, _W.BESIDE),
    (_W.BESIDE, _S.LACKS_MEMORY): Next(_N.PUT_OUT, _W.PUT_OUT),
    (_W.BESIDE, _S.FAILED): Next(_N.KEEP, _W.GIVEN_UP),
    (_W.PUT_OUT, _S.ABSENT): Next(_N.START, _W.PUT_OUT),
    (_W.PUT_OUT, _S.LACKS_MEMORY): Next(_N.BRING_BACK, _W.GIVEN_UP),
    (_W.PUT_OUT, _S.FAILED): Next(_N.BRING_BACK, _W.GIVEN_UP),
})


def next_step(way: Way, new: Standing, *, is_old_loaded: bool) -> Next:
    """What follows. An old version that serves no more, and was not put out, has nothing to hand over."""
    if not is_old_loaded and way is not Way.PUT_OUT:
        return Next(Step.FINISH, way)
    return _RULES.get((way, new), Next(Step.WAIT, way))
