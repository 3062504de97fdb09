"""Which rows run together, and when: pure functions of what waits, the policy and `now`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from gateway.core.errors import DeadlineExceeded
from gateway.core.model import BatchPolicy
from gateway.scheduling.pending import Compat, Pending

Lane = deque[Pending]


class Decision(NamedTuple):
    """Send up to `rows` now (0: nothing), and look again at `wake_at` (inf: when something happens)."""

    rows: int
    wake_at: float


def decide(now: float, waiting_rows: int, oldest: float, policy: BatchPolicy, max_rows: int) -> Decision:
    """How many rows of a lane may go now.

    As Triton's dynamic batcher: the largest preferred size that is there goes at once; short of any,
    rows wait for company until the oldest has waited `max_queue_delay_s`, and with a delay of 0 never.
    """
    if waiting_rows >= max_rows:
        return Decision(max_rows, inf)
    reachable = [size for size in policy.preferred_sizes if size <= waiting_rows]
    if reachable:
        return Decision(max(reachable), inf)
    due = oldest + policy.max_queue_delay_s
    if now >= due:
        return Decision(waiting_rows, inf)
    return Decision(0, due)


def oldest_lane(lanes: Mapping[Compat, Lane]) -> Lane | None:
    """The lane whose first request arrived first: no signature starves another."""
    best: Lane | None = None
    for lane in lanes.values():
        if best is None or lane[0].arrived < best[0].arrived:
            best = lane
    return best


def take(lane: Lane, max_rows: int, now: float) -> list[Pending]:
    """Removes from the front of `lane` as many open requests as fit into `max_rows`; at least one open.

    What is past its deadline is failed instead: it must not run, however late the next sweep.
    """
    taken: list[Pending] = []
    room = max_rows
    while lane:
        first = lane[0]
        if not first.is_open:
            lane.popleft()
            continue
        if first.deadline <= now:
            lane.popleft().fail(DeadlineExceeded("Request timeout expired"))
            continue
        rows = first.plan.rows
        if taken and rows > room:
            break
        taken.append(lane.popleft())
        room -= rows
    return taken


def halves(members: list[Pending]) -> tuple[list[Pending], list[Pending]]:
    """Splits a failed batch in two: one poisoned request among n is found in about 2 log2 n runs."""
    middle = (len(members) + 1) // 2
    return members[:middle], members[middle:]


def open_only(members: Iterable[Pending]) -> list[Pending]:
    """Those somebody still waits for."""
    return [member for member in members if member.is_open]


def forget_closed(lanes: dict[Compat, Lane]) -> int:
    """Drops cancelled and expired requests, so that they hold no memory; tells how many."""
    dropped = 0
    for compat, lane in list(lanes.items()):
        if all(member.is_open for member in lane):
            continue
        kept = deque(member for member in lane if member.is_open)
        dropped += len(lane) - len(kept)
        if kept:
            lanes[compat] = kept
        else:
            del lanes[compat]
    return dropped
