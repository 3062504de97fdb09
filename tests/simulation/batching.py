"""A queue, a strategy and instances in simulated time: what a batching strategy would do to latencies.

Requests come by chance at a given rate (Poisson), a batch of n rows takes a*n + b and some noise, and all
that a strategy is told is learned on the way by the gateway's own estimates. Same seed, same outcome.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from gateway.core.batching import Batch, Observed, Policy, Queued, Strategy, broken_rule, rows_of
from gateway.scheduling.arrival_rate import ArrivalRate
from gateway.scheduling.cost import CostFit

# A clock that starts at 0 would hide what goes wrong far from it.
EPOCH_S = 1000.0


class Server(NamedTuple):
    """`instances` that each take per_row_s * n + per_batch_s for n rows, up to `noise` more or less."""

    per_row_s: float
    per_batch_s: float
    instances: int = 1
    noise: float = 0.1

    def rows_per_s(self, rows: int) -> float:
        """What it can do in batches of `rows`."""
        return self.instances * rows / (self.per_row_s * rows + self.per_batch_s)


class Outcome(NamedTuple):
    """`latencies_s` are in the order of arrival; inf is never answered."""

    latencies_s: tuple[float, ...]
    batches: tuple[int, ...]
    rows_per_s: float
    busy: float
    faults: tuple[str, ...]

    def quantile_s(self, share: float) -> float:
        """The latency that `share` of the requests do not exceed."""
        return sorted(self.latencies_s)[min(int(share * len(self.latencies_s)), len(self.latencies_s) - 1)]

    @property
    def mean_rows(self) -> float:
        return sum(self.batches) / max(len(self.batches), 1)


def poisson(rate_per_s: float, count: int, seed: int) -> list[Queued]:
    """`count` requests of one row."""
    chance = random.Random(seed)
    now = EPOCH_S
    arrivals = []
    for handle in range(count):
        now += chance.expovariate(rate_per_s)
        arrivals.append(Queued(handle, now))
    return arrivals


class Simulation:
    """One run. Invariant: every request is to come, waits, runs, or is answered."""

    def __init__(self, strategy: Strategy, policy: Policy, server: Server, seed: int = 1) -> None:
        self._strategy = strategy
        self._policy = policy
        self._server = server
        self._chance = random.Random(seed)
        self._fit = CostFit()
        self._rate = ArrivalRate()
        self._queued: list[Queued] = []
        self._running: list[tuple[float, int, float, Batch]] = []  # by when they end
        self._answered: dict[int, float] = {}
        self._sizes: list[int] = []
        self._busy_s = 0.0
        self._wake_at = inf
        self._faults: list[str] = []

    def run(self, arrivals: Sequence[Queued]) -> Outcome:
        """Lets `arrivals` come, and goes on until nothing happens any more."""
        now, at = EPOCH_S, 0
        while True:
            comes = arrivals[at].arrived if at < len(arrivals) else inf
            ends = self._running[0][0] if self._running else inf
            now = min(comes, ends, self._wake_at)
            if now == inf:
                break
            if comes <= now:
                self._queued.append(arrivals[at])
                self._rate.came(arrivals[at].rows, now)
                at += 1
            elif ends <= now:
                self._end(now)
            self._pump(now)
        return self._outcome(arrivals)

    def _end(self, now: float) -> None:
        _, _, began, batch = heapq.heappop(self._running)
        self._fit.ran(rows_of(batch), now - began)
        for one in batch:
            self._answered[one.handle] = now

    def _pump(self, now: float) -> None:
        self._wake_at = inf
        observed = self._observed(now)
        if not observed.idle or not self._queued:
            return
        formed = self._strategy(now, self._queued, self._policy, observed)
        if fault := broken_rule(now, self._queued, self._policy, observed, formed):
            self._faults.append(fault)
            return
        self._wake_at = formed.wake_at
        for batch in formed.batches:
            self._begin(now, batch)

    def _observed(self, now: float) -> Observed:
        fit, instances = self._fit, self._server.instances
        free_at = min(
            (
                began + fit.per_row_s * rows_of(batch) + fit.per_batch_s
                for _, _, began, batch in self._running
            ),
            default=inf,
        )
        idle = instances - len(self._running)
        return Observed(
            idle, instances, fit.per_row_s, fit.per_batch_s, self._rate.per_s(now), max(free_at, now)
        )

    def _begin(self, now: float, batch: Batch) -> None:
        rows, server = rows_of(batch), self._server
        took_s = server.per_row_s * rows + server.per_batch_s
        took_s *= self._chance.uniform(1 - server.noise, 1 + server.noise)
        heapq.heappush(self._running, (now + took_s, len(self._sizes), now, batch))
        self._sizes.append(rows)
        self._busy_s += took_s
        if len(batch) == len(self._queued):
            self._queued.clear()
        else:
            going = {one.handle for one in batch}
            self._queued = [one for one in self._queued if one.handle not in going]

    def _outcome(self, arrivals: Sequence[Queued]) -> Outcome:
        latencies = tuple(self._answered.get(one.handle, inf) - one.arrived for one in arrivals)
        rows = sum(one.rows for one in arrivals if one.handle in self._answered)
        took_s = max(self._answered.values(), default=inf) - arrivals[0].arrived
        busy = self._busy_s / (took_s * self._server.instances)
        return Outcome(latencies, tuple(self._sizes), rows / took_s, busy, tuple(self._faults))


def simulate(
    strategy: Strategy, policy: Policy, server: Server, arrivals: Sequence[Queued], seed: int = 1
) -> Outcome:
    """What becomes of `arrivals` at `server` under `strategy`."""
    return Simulation(strategy, policy, server, seed).run(arrivals)
