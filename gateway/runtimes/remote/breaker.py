"""Whether an upstream may be asked now: the states of its circuit breaker, and the ways between them. Pure.

closed      it answers; requests go there
open        it does not: requests are refused at once, and after a while it is asked how it is
half_open   it says that it is ready: one request at a time finds out whether that is true

A request that fails for lack of an upstream counts, and so does a question how it is; as many in a row
as are configured, or two questions, open the breaker. The time it stays open doubles while that does
not help. What opens it are failures to get there, never a model's own errors: one caller with bad input
must not shut out the others. The question after that time is asked by us: no caller's request is the
first to find out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

# With 1 s to begin with: after a minute an upstream that is gone is asked twice a minute. Whoever wants a
# shorter time to begin with wants it back sooner too.
MOST_DOUBLINGS = 5
MOST_OPEN_S = 30.0
PROBES_TO_OPEN = 2
# +-20 %: the gateways of one upstream must not ask all at once.
JITTER = 0.2


class State(enum.Enum):
    """Where a breaker is."""

    value: Literal["closed", "open", "half_open"]
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(enum.Enum):
    """What can happen to it."""

    ANSWERED = "answered"  # a request was answered, be it with an error of the model
    TRIPPED = "tripped"  # too many failures in a row, or any while half open
    PROBE_PASSED = "probe_passed"  # the upstream says that it and its model are ready


_S, _E = State, Event

TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType({
    (_S.CLOSED, _E.ANSWERED): _S.CLOSED,
    (_S.CLOSED, _E.TRIPPED): _S.OPEN,
    (_S.CLOSED, _E.PROBE_PASSED): _S.CLOSED,
    # Answers to what was sent before it opened say nothing of now.
    (_S.OPEN, _E.ANSWERED): _S.OPEN,
    (_S.OPEN, _E.TRIPPED): _S.OPEN,
    (_S.OPEN, _E.PROBE_PASSED): _S.HALF_OPEN,
    (_S.HALF_OPEN, _E.ANSWERED): _S.CLOSED,
    (_S.HALF_OPEN, _E.TRIPPED): _S.OPEN,
    (_S.HALF_OPEN, _E.PROBE_PASSED): _S.HALF_OPEN,
})


class Policy(NamedTuple):
    """How many failures in a row open it, and for how long at first."""

    failures: int
    open_s: float


class Breaker(NamedTuple):
    """A breaker at one moment.

    Invariant: `until` (when to ask how it is) and `reason` count in OPEN alone; `trials` in HALF_OPEN.
    """

    state: State = State.CLOSED
    failures: int = 0
    failed_probes: int = 0
    trips: int = 0  # since it was last closed
    until: float = 0.0
    reason: str = ""
    trials: int = 0


def refusal(breaker: Breaker, now: float) -> float | None:
    """In how many seconds to ask again; None where a request may go now (see `begun`)."""
    match breaker.state:
        case State.CLOSED:
            return None
        case State.OPEN:
            return max(breaker.until - now, 0.1)
        case State.HALF_OPEN:
            return None if breaker.trials == 0 else 0.1


def begun(breaker: Breaker) -> Breaker:
    """After a request that was not refused was sent; `ended` must follow it."""
    return breaker._replace(trials=breaker.trials + 1) if breaker.state is State.HALF_OPEN else breaker


def ended(breaker: Breaker) -> Breaker:
    """After a request of which nothing is learned (its caller has gone) was given up."""
    return breaker._replace(trials=max(breaker.trials - 1, 0))


def answered(breaker: Breaker) -> Breaker:
    """After an answer."""
    state = TRANSITIONS[breaker.state, Event.ANSWERED]
    return Breaker() if state is State.CLOSED else breaker


def failed(breaker: Breaker, now: float, policy: Policy, reason: str, random: float) -> Breaker:
    """After a request that found no upstream."""
    breaker = ended(breaker)._replace(failures=breaker.failures + 1)
    if breaker.state is State.OPEN:
        return breaker
    if breaker.state is State.CLOSED and breaker.failures < policy.failures:
        return breaker
    return _tripped(breaker, now, policy, reason, random)


def probed(breaker: Breaker, now: float, policy: Policy, trouble: str, random: float) -> Breaker:
    """After the upstream was asked how it is; `trouble` "" where it is ready."""
    if not trouble:
        return breaker._replace(state=TRANSITIONS[breaker.state, Event.PROBE_PASSED], failed_probes=0)
    breaker = breaker._replace(failed_probes=breaker.failed_probes + 1)
    if breaker.state is State.CLOSED and breaker.failed_probes < PROBES_TO_OPEN:
        return breaker
    return _tripped(breaker, now, policy, trouble, random)


def trouble_of(breaker: Breaker) -> str:
    """Why the upstream cannot be asked, "" where it can."""
    return breaker.reason if breaker.state is State.OPEN else ""


def _tripped(breaker: Breaker, now: float, policy: Policy, reason: str, random: float) -> Breaker:
    """Open, for twice as long as the last time; `random` in 0..1."""
    open_s = min(policy.open_s * 2.0 ** min(breaker.trips, MOST_DOUBLINGS), max(MOST_OPEN_S, policy.open_s))
    open_s *= 1.0 - JITTER + 2.0 * JITTER * random
    return Breaker(
        TRANSITIONS[breaker.state, Event.TRIPPED],
        trips=breaker.trips + 1,
        until=now + open_s,
        reason=reason,
    )
