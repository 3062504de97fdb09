"""How far two distributions are apart, and from when that is no chance.

The population stability index is the sum over bins of (p - q) * ln(p / q), p and q the shares of window and
reference, each count with half a row more so that empty bins do not decide. The usual limits of 0.1 and 0.25
know nothing of the number of rows: of equal distributions the index is about (B - 1)(1/n + 1/m), and its 99 %
point the chi-square's of B - 1 degrees times (1/n + 1/m); with n = 100 and m = 1000 that is 0.22. So drift is
what is beyond both, and nothing is said of fewer than 500 rows. The Jensen-Shannon distance, for people, is
bounded by 1 (base 2) and symmetric.
"""

from __future__ import annotations

import enum
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

MIN_ROWS = 500
LIMIT, SEVERE = 0.1, 0.25
_SMOOTHING = 0.5
# The normal distribution's 99 % point.
_Z_99 = 2.3263478740408408


class Verdict(enum.Enum):
    """What is said of one feature."""

    UNKNOWN = "unknown"  # too few rows
    STABLE = "stable"
    DRIFT = "drift"
    SEVERE = "severe"


def stability_index(reference: Counts, window: Counts) -> float:
    """The PSI of two counts over the same bins, at least one row each."""
    p, q = _shares(window), _shares(reference)
    return float(np.sum((p - q) * np.log(p / q)))


def distance(reference: Counts, window: Counts) -> float:
    """The Jensen-Shannon distance, 0 (the same) to 1 (nothing in common)."""
    p, q = _shares(window), _shares(reference)
    middle = (p + q) / 2
    divergence = (np.sum(p * np.log2(p / middle)) + np.sum(q * np.log2(q / middle))) / 2
    return sqrt(max(0.0, float(divergence)))


def chance_limit(bins: int, reference_rows: int, window_rows: int) -> float:
    """What the PSI of equal distributions stays below in 99 of 100 windows."""
    return _chi_square_99(bins - 1) * (1 / reference_rows + 1 / window_rows)


def verdict(reference: Counts, window: Counts) -> Verdict:
    """What is to be said of the window."""
    rows, of = int(window.sum()), int(reference.sum())
    if rows < MIN_ROWS or of < MIN_ROWS:
        return Verdict.UNKNOWN
    index = stability_index(reference, window)
    if index <= max(LIMIT, chance_limit(len(reference), of, rows)):
        return Verdict.STABLE
    return Verdict.SEVERE if index > SEVERE else Verdict.DRIFT


def _shares(counts: Counts) -> npt.NDArray[np.float64]:
    smoothed: npt.NDArray[Any] = counts.astype(np.float64) + _SMOOTHING
    shares: npt.NDArray[np.float64] = smoothed / smoothed.sum()
    return shares


def _chi_square_99(degrees: int) -> float:
    """The 99 % point of the chi-square distribution, by Wilson and Hilferty; from 3 on within 1 %."""
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + _Z_99 * sqrt(part)) ** 3)
