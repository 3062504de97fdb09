"""Batches by an objective for latency: how large, and whether waiting buys anything, follow from the cost.

DESIGN: a batch of n rows takes a*n + b, so k instances keep up with r rows a second at a share u of their
time only in batches of at least n = r*b / (u*k - r*a) rows. That is what waiting buys: with that many rows
there, or a load at which n is 1, a batch goes to an idle instance at once; with fewer it waits, never so
long that the oldest would miss its objective, nor longer than twice the time in which so many are expected.

A batch must not be too large either: who just misses one waits for all of it and then for its own. Rows are
therefore limited to those with which both fit into the objective, but never to less than twice what the
instances need to keep up with: past that every objective is lost, and only throughput is left.

A fixed window has to be tuned to all of that, by model, machine and hour. BentoML's rule (wait while it
costs those who wait less than they have waited on average) needs no window too; not taken, since it has one
batch in flight, counts jobs and sheds the oldest, and knows the objective only as the time to give up at.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

from gateway.core.batching import Formed, Observed, Policy, Queued, rows_of
from gateway_plugins.batching.packing import Decision, Lane, form, latest_start, oldest

# Of the objective; the rest is for what is not in the cost: the network, and that a cost is a mean.
HEADROOM = 0.9
# Where a batch is waited for, a third of the objective is left to chance with one instance; of k another is
# free soon.
CHANCE = 1 / 3
# Instances busier than this build queues; waiting for larger batches buys back what is above.
CALM = 0.8
# Most of their time that instances can be busy and still keep up with chance.
FULL = 0.95


def form_batches(now: float, queued: Sequence[Queued], policy: Policy, observed: Observed) -> Formed:
    """The batches that meet the objective at the least cost to the instances."""
    limit = row_limit(policy, observed)
    wanted = rows_wanted(policy, observed)
    has_others = any(one.compat != queued[0].compat for one in queued)

    def decide(lane: Lane) -> Decision:
        rows = rows_of(lane)
        share = min(max(wanted, ceil(rows / max(observed.instances, 1))), limit)
        if rows >= wanted:
            return Decision(share)
        due = _due(now, lane, policy, observed) - (_others_s(now, limit, observed) if has_others else 0.0)
        due = min(due, oldest(lane) + 2 * wanted / observed.rows_per_s)
        return Decision(share) if now >= due else Decision(0, due)

    return form(queued, observed, decide)


def rows_wanted(policy: Policy, observed: Observed) -> int:
    """How many rows are worth waiting for; 1 where waiting buys nothing."""
    # The next row is expected in 1/r: as long as that is more than the b it saves, the instance runs instead.
    if observed.rows_per_s * observed.per_batch_s <= 1:
        return 1
    instances = max(observed.instances, 1)
    limit = rows_within(policy, observed, HEADROOM * (1 - CHANCE / instances))
    least = observed.rows_per_s / limit * observed.run_s(limit) / instances
    return rows_to_keep_up(limit, observed, max(CALM, (1 + least) / 2))


def rows_to_keep_up(limit: int, observed: Observed, share: float) -> int:
    """The smallest batches with which the instances are busy for `share` of their time, or the largest."""
    if not observed.rows_per_s * observed.per_batch_s:
        return 1  # batches buy nothing, or nothing is known
    left = share * observed.instances - observed.rows_per_s * observed.per_row_s
    if left <= 0:
        return limit
    return min(ceil(observed.rows_per_s * observed.per_batch_s / left), limit)


def row_limit(policy: Policy, observed: Observed) -> int:
    """The largest batch: for the objective, but never less than twice what keeps up.

    A limit just above that leaves no room to make up for a burst, and from batches of one alone nobody learns
    what two cost.
    """
    keeping_up = rows_to_keep_up(policy.max_rows, observed, FULL)
    return min(max(rows_within(policy, observed, HEADROOM), 2 * keeping_up), policy.max_rows)


def rows_within(policy: Policy, observed: Observed, share: float) -> int:
    """The largest batch of which whoever just misses one has time for another, in `share` of the objective.

    At least one row; all that are permitted where there is no objective, or rows cost nothing.
    """
    if not policy.objective_s or not observed.per_row_s:
        return policy.max_rows
    # With k instances one of them is free after a k-th of a run.
    run_s = share * policy.objective_s / (1 + 1 / max(observed.instances, 1))
    rows = floor((run_s - observed.per_batch_s) / observed.per_row_s)
    return min(max(rows, 1), policy.max_rows)


def _due(now: float, lane: Lane, policy: Policy, observed: Observed) -> float:
    """Until when the lane can wait: for its objective, where there is one, and for its deadlines."""
    if not policy.objective_s:
        return now
    run_s = observed.run_s(rows_of(lane))
    return min(oldest(lane) + HEADROOM * policy.objective_s - run_s, latest_start(lane, run_s))


def _others_s(now: float, rows: int, observed: Observed) -> float:
    """For how long those who cannot share its batch may take the instance that a lane waits with."""
    if observed.idle > 1:
        return 0.0
    return min(observed.run_s(rows), max(observed.free_at - now, 0.0))
