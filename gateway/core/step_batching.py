"""The contract of continuous batching: who takes part in the next step of a model that runs step by step.

Whoever drives such a model (a decoder, a simulation, a diffusion) calls `step_batch(now, running, queued,
policy) -> Stepped` between any two steps, runs one step of what it answers, marks whoever has finished with
`is_done`, and so on until nobody runs and nobody waits. The rules:

    - Whoever runs goes on in its order until it is done or its deadline is over; nobody is put out for
      another's sake, since what a step has left in the model's memory would be lost.
    - Who is admitted is the head of `queued`, in the order given: nobody overtakes, whatever its `compat`.
    - All that run have one `compat` and together at most `policy.max_rows` rows.
    - Where nobody runs the first that waits is admitted: a step loop never stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import NamedTuple

from gateway.core.batching import Policy, Queued


class Running(NamedTuple):
    """A request that has begun; `handle` is that of the Queued that it was."""

    handle: int
    rows: int = 1
    deadline: float = inf
    compat: Hashable = ()
    is_done: bool = False


class Stepped(NamedTuple):
    """Who of those that ran goes on, and who begins; whoever is in neither has left."""

    running: tuple[Running, ...] = ()
    admitted: tuple[Queued, ...] = ()


StepStrategy = Callable[[float, Sequence[Running], Sequence[Queued], Policy], Stepped]


def begun(one: Queued) -> Running:
    """A request that was admitted."""
    return Running(one.handle, one.rows, one.deadline, one.compat)


def goes_on(one: Running, now: float) -> bool:
    """Whether a request takes part in a further step."""
    return not one.is_done and one.deadline > now


def broken_step(
    now: float, running: Sequence[Running], queued: Sequence[Queued], policy: Policy, stepped: Stepped
) -> str:
    """Which rule an answer breaks, in words for the log; "" where it keeps them all."""
    if stepped.running != tuple(one for one in running if goes_on(one, now)):
        return "it did not let go on just those who are not done"
    if stepped.admitted != tuple(queued[: len(stepped.admitted)]):
        return "it let one overtake another, or admitted one that does not wait"
    together = (*stepped.running, *map(begun, stepped.admitted))
    if len({one.compat for one in together}) > 1:
        return "it let those run together who cannot share a batch"
    rows = sum(one.rows for one in together)
    if rows > policy.max_rows:
        return f"it let {rows} rows run where {policy.max_rows} are the most"
    return "it let nobody run though one waits" if queued and not together else ""
