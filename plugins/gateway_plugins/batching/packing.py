"""Lanes of requests that may share a batch, and batches that are heads of lanes; shared by the strategies.

A strategy says of one lane how many of its rows may go, or when; `form` asks it of each lane in turn, always
of that whose first request is the most urgent. A lane that is not due lets the others go before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import NamedTuple

from gateway.core.batching import Batch, Formed, Observed, Queued

# Of the time that a request has, so much stays unused where its deadline makes a batch go: nothing may be
# known of the cost yet, and what is known is a mean.
_SPARE = 0.05


class Decision(NamedTuple):
    """Up to `rows` of a lane go now; none where that is 0, and then not before `wake_at`."""

    rows: int
    wake_at: float = inf


Lane = Sequence[Queued]
Decide = Callable[[Lane], Decision]


def form(queued: Sequence[Queued], observed: Observed, decide: Decide) -> Formed:
    """The batches that `decide` lets go, for as many instances as are idle."""
    lanes = _lanes(queued)
    batches: list[Batch] = []
    wake_at = inf
    while lanes and len(batches) < observed.idle:
        lane = heapq.heappop(lanes)
        decision = decide([one for _, one in lane])
        if not decision.rows:
            wake_at = min(wake_at, decision.wake_at)
            continue
        batch = _head([one for _, one in lane], decision.rows)
        batches.append(batch)
        if rest := lane[len(batch) :]:
            heapq.heappush(lanes, rest)
    return Formed(tuple(batches), wake_at)


def _lanes(queued: Sequence[Queued]) -> list[list[tuple[int, Queued]]]:
    """By `compat`, each with the places in `queued`, by which a heap orders them: no two are equal."""
    lanes: dict[Hashable, list[tuple[int, Queued]]] = {}
    for place, one in enumerate(queued):
        lanes.setdefault(one.compat, []).append((place, one))
    return list(lanes.values())


def _head(lane: Lane, rows: int) -> Batch:
    """What fits into `rows` of the head of a lane; at least the first, and nothing past what does not."""
    room = rows - lane[0].rows
    taken = [lane[0]]
    for one in lane[1:]:
        room -= one.rows
        if room < 0:
            break
        taken.append(one)
    return tuple(taken)


def oldest(lane: Lane) -> float:
    """When the first of a lane arrived, whatever its order."""
    return min(one.arrived for one in lane)


def latest_start(lane: Lane, run_s: float) -> float:
    """Until when a lane can wait so that no deadline in it is missed; inf where there is none."""
    return min((_latest_start(one, run_s) for one in lane if one.deadline < inf), default=inf)


def _latest_start(one: Queued, run_s: float) -> float:
    return one.deadline - max(2 * run_s, _SPARE * (one.deadline - one.arrived))
