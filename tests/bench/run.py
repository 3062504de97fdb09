"""Runs rows and reports them: what `make bench` and `make bench-peers` have in common."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench import report, servers
from tests.bench.calls import WrongAnswer
from tests.bench.comparison import Comparison, compare
from tests.bench.environments import Missing
from tests.bench.outputs import Unreadable
from tests.bench.report import NotMeasured, Result, Row
from tests.bench.servers import DidNotStart
from tests.bench.suite import Setting, Single

RESULTS = Path("tests/bench/results")
# What keeps one row from being measured and says nothing about the others.
_FAULTS = (Missing, DidNotStart, WrongAnswer, Unreadable, subprocess.SubprocessError, OSError)

Planned = Comparison | Single


def arguments(suite: str, names: Sequence[str]) -> argparse.Namespace:
    """The command line; --only is checked against `names`."""
    parser = argparse.ArgumentParser(prog=f"tests.bench.{suite}", description=__doc__)
    parser.add_argument("--only", default="", help=f"rows, with commas between: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each comparison (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of each measurement (5)")
    parser.add_argument("--open-seconds", type=float, default=60.0, help="seconds of each open loop (60)")
    parser.add_argument("--server-cpus", default="0", help="cores of the servers (0)")
    parser.add_argument("--load-cpus", default="1", help="cores of the load (1)")
    parser.add_argument("--plain", action="store_true", help="measure plain Python, not build/compiled")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    unknown = set(_names(given.only)) - set(names)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: there is only {', '.join(names)}")
    if given.rounds < 1 or given.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    return given


@contextmanager
def setting(given: argparse.Namespace) -> Generator[Setting]:
    """The setting of a run; this process and all load stay off the servers' cores."""
    server_cpus, load_cpus = _cpus(given.server_cpus), _cpus(given.load_cpus)
    if not server_cpus | load_cpus <= os.sched_getaffinity(0):
        sys.exit(f"cores {sorted(server_cpus | load_cpus)} are needed; see --server-cpus and --load-cpus")
    os.sched_setaffinity(0, load_cpus)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        warm_up_s = min(2.0, given.seconds)
        root = servers.PLAIN if given.plain else servers.COMPILED
        yield Setting(given.seconds, warm_up_s, server_cpus, load_cpus, Path(folder), root)


def perform(suite: str, planned: Sequence[Planned], given: argparse.Namespace) -> int:
    """Measures, prints, saves; the exit status is 1 where a row could not be measured."""
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows: list[Row | NotMeasured] = []
    for one in planned:
        rows += _measured(one, given.rounds)
    machine = {**report.machine(), "gateway": "plain Python" if given.plain else "compiled"}
    result = Result(suite, started, machine, given.rounds, given.seconds, tuple(rows))
    file = report.save(result, RESULTS / f"{'-'.join([suite, *_names(given.only)])}.json")
    sys.stdout.write(msgspec.json.encode(result).decode() if given.json else report.markdown(result))
    _say(f"written to {file}")
    return int(any(isinstance(row, NotMeasured) for row in rows))


def chosen(planned: Sequence[Planned], only: str) -> list[Planned]:
    """Those of `planned` that --only names, all of them where it names none."""
    wanted = _names(only)
    return [one for one in planned if not wanted or one.name in wanted]


def _measured(one: Planned, rounds: int) -> Sequence[Row | NotMeasured]:
    try:
        match one:
            case Comparison():
                return [compare(one, rounds, _say)]
            case Single():
                rows = one.measure()
                for row in rows:
                    _say(f"{row.name}: {row.figure:,.1f} {row.unit}")
                return rows
    except _FAULTS as fault:
        _say(f"{one.name}: not measured: {fault}")
        return [NotMeasured(one.name, one.title, one.target, str(fault))]


def _names(only: str) -> list[str]:
    return [name for name in only.split(",") if name]


def _cpus(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(","))


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
