"""When requests are due: arrival times fixed in advance, whatever the server does with them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from gateway.cli.bench.plan import Arrivals


class Share(NamedTuple):
    """One of `processes` equal generators."""

    number: int  # from 0
    processes: int


def shared(total: int, share: Share) -> int:
    """This process's part of `total` things; the parts of all processes sum up to `total`."""
    quotient, rest = divmod(total, share.processes)
    return quotient + (share.number < rest)


def arrival_times(arrivals: Arrivals, rate: float, start: float, share: Share, seed: int) -> Iterator[float]:
    """Yields ascending times at which this process must send, without end.

    Constant arrivals of all processes interleave to an even beat. Independent Poisson processes of
    rate/P each add up to one of `rate`.
    """
    if arrivals == "constant":
        return _constant(rate, start, share)
    return _poisson(rate / share.processes, start, random.Random(seed * 1_000_003 + share.number))


def _constant(rate: float, start: float, share: Share) -> Iterator[float]:
    # Multiplied, not added up: a million additions of 1/rate drift by more than a period.
    position = share.number
    while True:
        yield start + position / rate
        position += share.processes


def _poisson(rate: float, start: float, source: random.Random) -> Iterator[float]:
    due = start
    while True:
        due += source.expovariate(rate)
        yield due
