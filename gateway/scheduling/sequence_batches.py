"""Which requests of an instance's sequences run together, and when: pure."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from gateway.core.model import BatchPolicy
from gateway.core.sequence import SequenceBatching
from gateway.scheduling.batching import decide
from gateway.scheduling.sequence_states import Turn


class Take(NamedTuple):
    """Run these now (none: not yet), and look again at `wake_at` (inf: when something happens)."""

    turns: list[Turn]
    wake_at: float = inf


def decide_direct(now: float, heads: list[Turn], slots: int, batching: SequenceBatching) -> Take:
    """Each in the row of its slot: all that have a request, or, for a while, none until enough have."""
    group = _alike(heads)
    due = group[0].pending.arrived + batching.max_queue_delay_s
    if now < due and len(group) < batching.min_utilization * slots:
        return Take([], due)
    return Take(sorted(group, key=_slot))


def decide_oldest(now: float, heads: list[Turn], rows: int, batching: SequenceBatching) -> Take:
    """Those that came first, as many as a batch of the dynamic batcher would have."""
    group = _alike(heads)
    policy = BatchPolicy(
        preferred_sizes=batching.preferred_sizes, max_queue_delay_s=batching.max_queue_delay_s
    )
    decision = decide(now, len(group), group[0].pending.arrived, policy, rows)
    return Take(group[: decision.rows], decision.wake_at)


def _alike(heads: list[Turn]) -> list[Turn]:
    """Those that may share a batch with the one that came first, in order of arrival."""
    ordered = sorted(heads, key=_arrival)
    compat = ordered[0].pending.plan.compat
    return [turn for turn in ordered if turn.pending.plan.compat == compat]


def _arrival(turn: Turn) -> float:
    return turn.pending.arrived


def _slot(turn: Turn) -> int:
    return turn.sequence.slot
