"""What is made of measurements: medians, spreads, ratios, percentiles, and a verdict on a target."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from statistics import median

import msgspec


class Measure(msgspec.Struct, frozen=True):
    """One figure measured in several rounds, in the order they ran."""

    rounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError("a measure needs at least one round")

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def low(self) -> float:
        return min(self.rounds)

    @property
    def high(self) -> float:
        return max(self.rounds)

    @property
    def spread(self) -> float:
        """The width of the range as a share of the median: 0.1 is ten per cent between the extremes."""
        return (self.high - self.low) / self.median if self.median else 0.0


class Direction(enum.Enum):
    """Which side of its target a figure must be on."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    BELOW = "<"


class Target(msgspec.Struct, frozen=True):
    """What a figure must reach, in `unit`."""

    direction: Direction
    value: float
    unit: str

    def is_reached_by(self, figure: float) -> bool:
        match self.direction:
            case Direction.AT_LEAST:
                return figure >= self.value
            case Direction.AT_MOST:
                return figure <= self.value
            case Direction.BELOW:
                return figure < self.value

    def __str__(self) -> str:
        return f"{self.direction.value} {self.value:g} {self.unit}"


def ratio(ours: Measure, theirs: Measure) -> float:
    """Median over median; raises ZeroDivisionError where the peer's is 0, which is no measurement."""
    return ours.median / theirs.median


def paired_ratios(ours: Measure, theirs: Measure) -> tuple[float, ...]:
    """The ratio within each round: neighbours in time, so the machine's drift cancels."""
    return tuple(a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; `share` in 0..1; raises on no values."""
    if not ordered:
        raise ValueError("no values")
    rank = max(1, -(-len(ordered) * round(share * 10_000) // 10_000))
    return ordered[rank - 1]
