"""What the workers of remote models have counted, by model version; what ended workers counted stays.

Bounded by the versions that were ever loaded, and by how many workers there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.core.model import ModelKey
from gateway.runtimes.contract import UpstreamCounts


class UpstreamTotals(NamedTuple):
    """Sums over all workers that there ever were; `states` are those of the living ones."""

    states: Mapping[str, int]
    requests: int
    retries: int
    refused: int
    trips: int


class Upstreams:
    """Owns the counts. Invariant: a worker is in `_living` or, once it has ended, part of `_ended`."""

    def __init__(self) -> None:
        self._living: dict[int, tuple[ModelKey, UpstreamCounts]] = {}
        self._ended: dict[ModelKey, UpstreamCounts] = {}

    def take(self, worker_id: int, key: ModelKey, counts: UpstreamCounts) -> None:
        """What a worker says of itself now: a figure never falls, whatever it says."""
        _, before = self._living.get(worker_id, (key, UpstreamCounts()))
        greatest = map(max, zip(before[1:], counts[1:], strict=True))
        self._living[worker_id] = key, UpstreamCounts(counts.state, *greatest)

    def forget(self, worker_id: int) -> None:
        """The worker has ended."""
        if (last := self._living.pop(worker_id, None)) is not None:
            key, counts = last
            self._ended[key] = _sum(self._ended.get(key, UpstreamCounts()), counts)

    def totals(self) -> dict[ModelKey, UpstreamTotals]:
        """By model version, in order."""
        sums = dict(self._ended)
        states: dict[ModelKey, dict[str, int]] = {}
        for key, counts in self._living.values():
            sums[key] = _sum(sums.get(key, UpstreamCounts()), counts)
            of_key = states.setdefault(key, {})
            of_key[counts.state] = of_key.get(counts.state, 0) + 1
        return {key: UpstreamTotals(states.get(key, {}), *sums[key][1:]) for key in sorted(sums)}


def _sum(one: UpstreamCounts, other: UpstreamCounts) -> UpstreamCounts:
    return UpstreamCounts("closed", *map(sum, zip(one[1:], other[1:], strict=True)))
