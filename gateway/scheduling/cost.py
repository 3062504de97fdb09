"""What a batch costs, learned while serving: a and b of seconds = a * rows + b.

DESIGN: least squares over all batches seen, each forgotten by 2 % with every one that follows: what a model
cost some two hundred batches ago (another clock speed, another neighbour on the card) counts for nothing.
It is kept as five sums, which is recursive least squares without its covariance: that grows without bound
while all batches have one size, and the first other size then throws the estimate anywhere. Here a spread of
sizes that is next to nothing leaves the slope as it is, by the weight of `_STIFFNESS` of row squared.

Bounds: neither a nor b is negative, nor above a minute. A run counts as at most four times what was
expected (a page that was swapped, a process that was stopped), so a change of any size is followed within
some batches; the first two are not counted, since they warm the engine up.
"""

from __future__ import annotations

_KEPT = 0.98
_STIFFNESS = 0.05
_WARM_UP = 2
_OUTLIER = 4.0
_MAX_S = 60.0


class CostFit:
    """Invariant: 0 <= `per_row_s`, `per_batch_s` <= 60; both are 0 until three batches were seen."""

    __slots__ = ("_n", "_nn", "_nt", "_seen", "_t", "_weight", "per_batch_s", "per_row_s")

    def __init__(self) -> None:
        self.per_row_s = 0.0
        self.per_batch_s = 0.0
        self._seen = 0
        # Sums over the batches, by what is left of each: of 1, rows, rows squared, seconds, rows * seconds.
        self._weight = 0.0
        self._n = 0.0
        self._nn = 0.0
        self._t = 0.0
        self._nt = 0.0

    def ran(self, rows: int, seconds: float) -> None:
        """A batch of `rows` took that long."""
        self._seen += 1
        if self._seen <= _WARM_UP or seconds <= 0:
            return
        expected_s = self.per_row_s * rows + self.per_batch_s
        seconds = min(seconds, _OUTLIER * expected_s or _MAX_S, _MAX_S)
        self._weight = self._weight * _KEPT + 1
        self._n = self._n * _KEPT + rows
        self._nn = self._nn * _KEPT + rows * rows
        self._t = self._t * _KEPT + seconds
        self._nt = self._nt * _KEPT + rows * seconds
        self._solve()

    def _solve(self) -> None:
        rows, seconds = self._n / self._weight, self._t / self._weight
        # While one size alone was seen all of it counts as rows': nobody then waits for what may be nothing.
        before = self.per_row_s or seconds / rows
        spread = self._nn / self._weight - rows * rows
        along = self._nt / self._weight - rows * seconds
        slope = (along + _STIFFNESS * before) / (max(spread, 0.0) + _STIFFNESS)
        # Where b would be negative, a line through the origin.
        self.per_row_s = min(max(slope, 0.0), self._nt / self._nn, _MAX_S)
        self.per_batch_s = min(max(seconds - self.per_row_s * rows, 0.0), _MAX_S)
