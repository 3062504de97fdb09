"""Two servers by turns: each round starts one, warms it up, measures it, stops it, then the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.bench.figures import Measure, Target, ratio
from tests.bench.report import Row
from tests.bench.servers import Server


class Sample(NamedTuple):
    """One side in one round."""

    figure: float
    failures: int
    requests: int
    busy: float = 0.0  # share of its core that the generator used


class Side(NamedTuple):
    """A server that can be started, and how it is called in the table."""

    name: str
    start: Callable[[], AbstractContextManager[Server]]


class Comparison(NamedTuple):
    """A figure of ours over the same figure of a peer; `measure` is done on a server just started."""

    name: str
    title: str
    target: Target
    unit: str
    ours: Side
    theirs: Side
    measure: Callable[[Server], Sample]


def compare(row: Comparison, rounds: int, say: Callable[[str], None]) -> Row:
    """Measures ours and theirs by turns, `rounds` times; tells each figure to `say`."""
    ours: list[Sample] = []
    theirs: list[Sample] = []
    for number in range(rounds):
        for side, samples in ((row.ours, ours), (row.theirs, theirs)):
            sample = _sample(side, row.measure)
            samples.append(sample)
            say(f"{row.name} {number + 1}/{rounds} {side.name}: {sample.figure:,.1f} {row.unit}")
    return _row(row, ours, theirs)


def _sample(side: Side, measure: Callable[[Server], Sample]) -> Sample:
    with side.start() as server:
        return measure(server)


def _row(row: Comparison, ours: list[Sample], theirs: list[Sample]) -> Row:
    mine = Measure(tuple(sample.figure for sample in ours))
    peers = Measure(tuple(sample.figure for sample in theirs))
    both = [*ours, *theirs]
    return Row(
        name=row.name,
        title=row.title,
        target=row.target,
        figure=ratio(mine, peers),
        ours=mine,
        unit=row.unit,
        peer=row.theirs.name,
        theirs=peers,
        failures=sum(sample.failures for sample in both),
        requests=sum(sample.requests for sample in both),
        busy=max(sample.busy for sample in both),
    )
