"""The contract of batching strategies: which of the requests that wait run together, and when to look again.

A strategy is one pure function, `form_batches(now, queued, policy, observed) -> Formed`. Whoever keeps the
queue calls it when a request has come, when a batch has ended, and at `wake_at`, as long as an instance is
idle; what the answer does not name goes on waiting and is given again. It keeps these rules:

    - No row is lost, none runs twice: every member of a batch is one of `queued`, once.
    - A batch has at least one member, at most `policy.max_rows` rows, and members of one `compat` alone.
    - Nobody overtakes within a `compat`: what goes of it is its head, in the order in which it was given.
      `queued` comes in the order of `urgency`: by priority, then by deadline where the policy says so, then
      by arrival.
    - There are at most `observed.idle` batches, the first to go first.
    - What waits for company has a `wake_at` later than `now`, or inf for "not before something happens".

What is over its deadline is not given. No request has more rows than `max_rows`. `broken_rule` tells
whether an answer keeps the rules; the queue asks it each time, as the tests do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple


class Queued(NamedTuple):
    """One request that waits: a lower `priority` goes first, one `compat` may share a batch.

    `handle` is the keeper's name for it, unlike that of any other that waits.
    """

    handle: int
    arrived: float
    rows: int = 1
    deadline: float = inf
    priority: int = 0
    compat: Hashable = ()


class Policy(NamedTuple):
    """What a model's configuration asks for; a strategy uses of it what it is about.

    `size` is how many rows a batch is to have exactly, 0 for `max_rows`; `objective_s` how long a request
    may take from its arrival to its answer, 0 where nobody said.
    """

    max_rows: int
    preferred_sizes: tuple[int, ...] = ()
    max_delay_s: float = 0.0
    objective_s: float = 0.0
    size: int = 0
    by_deadline: bool = False


class Observed(NamedTuple):
    """What is known of the instances, and of who asks them.

    A batch of n rows takes about `per_row_s` * n + `per_batch_s`; both are 0 while nothing has been seen.
    Of `instances` places for batches `idle` are free, and the first of the others will be at `free_at`.
    """

    idle: int
    instances: int
    per_row_s: float = 0.0
    per_batch_s: float = 0.0
    rows_per_s: float = 0.0
    free_at: float = inf

    @property
    def is_cost_known(self) -> bool:
        return self.per_row_s + self.per_batch_s > 0

    def run_s(self, rows: int) -> float:
        """How long a batch of `rows` is expected to take."""
        return self.per_row_s * rows + self.per_batch_s


Batch = tuple[Queued, ...]


class Formed(NamedTuple):
    """Run `batches` now, and ask again at `wake_at` at the latest."""

    batches: tuple[Batch, ...] = ()
    wake_at: float = inf


Strategy = Callable[[float, Sequence[Queued], Policy, Observed], Formed]
NOTHING = Formed()


class Strategies(NamedTuple):
    """Who can form batches, by name; `on_fault` must be told of the one that broke a rule or raised."""

    by_name: Mapping[str, Strategy] = {}
    on_fault: Callable[[str], None] = lambda name: None


NO_STRATEGIES = Strategies()


def urgency(one: Queued, policy: Policy) -> tuple[int, float, float, int]:
    """The order in which requests are given to a strategy: ascending."""
    return one.priority, one.deadline if policy.by_deadline else 0.0, one.arrived, one.handle


def rows_of(members: Iterable[Queued]) -> int:
    """How many rows they have together."""
    return sum(one.rows for one in members)


def broken_rule(
    now: float, queued: Sequence[Queued], policy: Policy, observed: Observed, formed: object
) -> str:
    """Which rule an answer of a strategy breaks, in words for the log; "" where it keeps them all."""
    if not isinstance(formed, Formed):
        return f"it answered with {type(formed).__name__}"
    if len(formed.batches) > observed.idle:
        return f"it formed {len(formed.batches)} batches for {observed.idle} idle instances"
    if not formed.wake_at > now:
        return "it wants to be asked again at once"
    for batch in formed.batches:
        if fault := _fault_of(batch, policy):
            return fault
    return _out_of_line(queued, formed.batches)


def _fault_of(batch: Batch, policy: Policy) -> str:
    if not batch:
        return "it formed an empty batch"
    if any(one.compat != batch[0].compat for one in batch):
        return "it put requests in one batch that cannot share one"
    if (rows := rows_of(batch)) > policy.max_rows:
        return f"it formed a batch of {rows} rows where {policy.max_rows} are the most"
    return ""


def _out_of_line(queued: Sequence[Queued], batches: tuple[Batch, ...]) -> str:
    """Whether what goes of each `compat` is its head; looks no further than what goes."""
    lines: dict[Hashable, deque[Queued]] = {}
    for batch in batches:
        lines.setdefault(batch[0].compat, deque()).extend(batch)
    left = sum(map(len, lines.values()))
    for one in queued:
        if not left:
            break
        if line := lines.get(one.compat):
            if line.popleft() != one:
                return "it let one overtake another, or run twice"
            left -= 1
    return "it named one that does not wait, or one twice" if left else ""
