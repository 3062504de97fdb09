"""What batching strategies do to latency, in simulated time: `python -m tests.bench.batching [FOLDER]`.

Each server is asked for 30, 60 and 90 % of what it can do in batches of 64, by chance. `slo_aware`, which is
told the objective alone, is compared with every fixed setting of a grid of largest batches and delays: it
must hold the objective for 99 % of the requests wherever one of them does, and answer at least 95 % of the
rows a second that the best of those does. No clock of the machine is read: it may be busy. The first quarter
of a run is not counted, for any of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.core.batching import Policy, Strategy
from gateway_plugins.batching import dynamic, slo_aware
from tests.bench.curves import Curve, Panel, drawn
from tests.simulation.batching import Outcome, Server, poisson, simulate

MAX_ROWS = 64
LOADS = (0.3, 0.6, 0.9)
# A batch of 64 takes 8, 15 and 65 ms: mostly its launch, something of both, mostly its rows.
SERVERS: Mapping[str, Server] = {
    "flat x1": Server(0.00005, 0.005),
    "even x1": Server(0.0002, 0.002),
    "even x4": Server(0.0002, 0.002, 4),
    "steep x1": Server(0.001, 0.001),
}
# In runs of a full batch: whoever just misses one needs two, so the first is hardly possible under load.
OBJECTIVES = (1.25, 2.0, 4.0)
GRID = tuple(
    Policy(max_rows, max_delay_s=delay_s)
    for max_rows in (8, 16, 32, 64)
    for delay_s in (0.0, 0.001, 0.002, 0.005)
)
REQUESTS = 8000
SEED = 3
MOST_LOST = 0.05
_HEADS = f"{'p99':>7} {'rows/s':>8} {'batch':>6} {'busy':>5}"


class Result(NamedTuple):
    """One setting under one load; times in seconds."""

    name: str
    p50_s: float
    p99_s: float
    rows_per_s: float
    mean_rows: float
    busy: float


class Case(NamedTuple):
    """A server under a load with an objective: what `slo_aware` made of it, and what the fixed settings."""

    server: str
    load: float
    objective_s: float
    slo_aware: Result
    fixed: tuple[Result, ...]

    @property
    def best(self) -> Result | None:
        """Of the fixed settings that hold the objective the one that answers most; None where none does."""
        holding = [one for one in self.fixed if one.p99_s <= self.objective_s]
        return max(holding, key=lambda one: one.rows_per_s, default=None)

    @property
    def is_well(self) -> bool:
        """Where a fixed setting holds the objective `slo_aware` does, at next to no cost in rows."""
        if self.best is None:
            return True
        is_held = self.slo_aware.p99_s <= self.objective_s
        return is_held and self.slo_aware.rows_per_s >= (1 - MOST_LOST) * self.best.rows_per_s


def measured(
    name: str, strategy: Strategy, policy: Policy, server: Server, load: float, requests: int
) -> Result:
    """One run."""
    outcome = simulate(strategy, policy, server, poisson(load * server.rows_per_s(MAX_ROWS), requests, SEED))
    assert not outcome.faults, outcome.faults
    return _result(name, outcome)


def _result(name: str, outcome: Outcome) -> Result:
    latencies = sorted(outcome.latencies_s[len(outcome.latencies_s) // 4 :])
    p50_s, p99_s = (latencies[int(share * len(latencies))] for share in (0.5, 0.99))
    return Result(name, p50_s, p99_s, outcome.rows_per_s, outcome.mean_rows, outcome.busy)


def cases(
    servers: Mapping[str, Server] = SERVERS, grid: Sequence[Policy] = GRID, requests: int = REQUESTS
) -> list[Case]:
    """Every server under every load with every objective."""
    found = []
    for name, server in servers.items():
        full_s = MAX_ROWS * server.per_row_s + server.per_batch_s
        for load in LOADS:
            fixed = tuple(
                measured(_named(policy), dynamic.form_batches, policy, server, load, requests)
                for policy in grid
            )
            for objective_s in (full_s * factor for factor in OBJECTIVES):
                policy = Policy(MAX_ROWS, objective_s=objective_s)
                own = measured("slo_aware", slo_aware.form_batches, policy, server, load, requests)
                found.append(Case(name, load, objective_s, own, fixed))
    return found


def _named(policy: Policy) -> str:
    return f"{policy.max_rows} rows, {policy.max_delay_s * 1e3:g} ms"


def table(found: Iterable[Case]) -> str:
    """A line a case, in milliseconds."""
    lines = [
        f"{'':26} | {'slo_aware':^36} | {'best fixed setting that holds it':^46} |",
        f"{'server':9} {'load':>5} {'objective':>10} | {'p50':>6} {_HEADS} "
        f"| {'setting':>16} {_HEADS} | hold it",
    ]
    for case in found:
        own, best = case.slo_aware, case.best
        holding = sum(one.p99_s <= case.objective_s for one in case.fixed)
        lines.append(
            f"{case.server:9} {case.load:5.0%} {case.objective_s * 1e3:10.1f} "
            f"| {own.p50_s * 1e3:6.1f} {_row(own)} | {best.name if best else 'none':>16} {_row(best)} "
            f"| {holding:2}/{len(case.fixed)} {'well' if case.is_well else 'WORSE'}"
        )
    return "\n".join(lines)


def _row(result: Result | None) -> str:
    if result is None:
        return f"{'-':>7} {'-':>8} {'-':>6} {'-':>5}"
    return f"{result.p99_s * 1e3:7.1f} {result.rows_per_s:8.0f} {result.mean_rows:6.1f} {result.busy:5.2f}"


def panels(found: Sequence[Case]) -> list[Panel]:
    """For each server the 99th percentile by load: the loosest objective, and fixed settings of note."""
    drawn_panels = []
    for server in dict.fromkeys(case.server for case in found):
        loosest = max(case.objective_s for case in found if case.server == server)
        own = [case for case in found if case.server == server and case.objective_s == loosest]
        names = [result.name for result in own[0].fixed]
        curves = [
            Curve("slo_aware", tuple((case.load, case.slo_aware.p99_s * 1e3) for case in own), is_bold=True)
        ]
        for name in names[:: max(len(names) // 5, 1)]:
            points = tuple(
                (case.load, result.p99_s * 1e3)
                for case in own
                for result in case.fixed
                if result.name == name
            )
            curves.append(Curve(name, points))
        drawn_panels.append(Panel(f"{server}: p99 in ms by load", tuple(curves), loosest * 1e3))
    return drawn_panels


def main(folder: Path) -> int:
    """0 where `slo_aware` does well in all cases."""
    found = cases()
    sys.stdout.write(table(found) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batching.svg").write_text(drawn(panels(found)))
    return 0 if all(case.is_well for case in found) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results"))
