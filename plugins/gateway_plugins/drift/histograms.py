"""Bins that are frozen on a reference: ten of equal shares, and two for what lies outside or is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gateway_plugins.drift.measures import Counts

Values = npt.NDArray[np.float64]
BINS = 10


class Bins:
    """The bins of one feature; `edges` are inner ones, ascending, and the reference's ends."""

    def __init__(self, edges: Values, low: float, high: float) -> None:
        self.edges = edges
        self.low = low
        self.high = high

    @classmethod
    def of(cls, values: Values) -> Bins:
        """Those that give each an equal share of `values`; fewer where many are the same."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return cls(np.empty(0), 0.0, 0.0)
        quantiles = np.quantile(finite, np.arange(1, BINS) / BINS)
        return cls(np.unique(quantiles), float(finite.min()), float(finite.max()))

    @property
    def size(self) -> int:
        """How many there are: inner ones, one for what lies outside, one for what is missing."""
        return len(self.edges) + 3

    def count(self, values: Values) -> Counts:
        """How many of `values` are in each."""
        counts = np.zeros(self.size, np.int64)
        is_there = np.isfinite(values)
        present = values[is_there]
        is_inside = (present >= self.low) & (present <= self.high)
        inside = np.searchsorted(self.edges, present[is_inside], side="right")
        counts[: len(self.edges) + 1] = np.bincount(inside, minlength=len(self.edges) + 1)
        counts[-2] = int(len(present) - is_inside.sum())
        counts[-1] = int(len(values) - len(present))
        return counts

    def document(self) -> dict[str, Any]:
        """JSON that `read` takes."""
        return {"edges": self.edges.tolist(), "low": self.low, "high": self.high}

    @classmethod
    def read(cls, told: dict[str, Any]) -> Bins:
        """The bins of a document; raises KeyError, TypeError or ValueError."""
        edges = np.array(told["edges"], np.float64)
        if edges.ndim != 1 or not np.all(np.diff(edges) > 0):
            raise ValueError("edges must ascend")
        return cls(edges, float(told["low"]), float(told["high"]))
