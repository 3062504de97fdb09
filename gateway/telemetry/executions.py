"""What a front counts of one model version's batches: a few integers, once a batch.

DESIGN: the statistics extension wants a batch's durations twice: once a batch, by its size, and once
for each request that shared it. Counted request by request that is six additions a request; here a
batch is counted by size as if it had answered one request, and what the others add, or a request that
nobody waited for takes away, is kept apart. In plain Python, with what the queue does for it: 0.29 us
for a batch of one request, 0.40 for one of four, so 0.1 for each of those; `ran` itself, compiled, 0.08.
The clock is wall time: when a model was last used is told to people.
"""

from __future__ import annotations

from gateway.core.clock import Clock
from gateway.telemetry.series import BatchSums, ExecutionSeries, ResponseSums

# How an answer of a model that may give several went; the place of its two sums.
SUCCESS, FAIL, EMPTY, CANCEL = 0, 2, 4, 6
# The last one counts for all that follow it too: a stream may have any number.
MAX_RESPONSES = 256

# Nanoseconds before, in and after the engine.
Timings = tuple[int, int, int]

# Up to 42 bytes each in msgpack.
SIZES_A_PART = 600


class _Sums:
    """Batches of one size."""

    __slots__ = ("count", "infer_ns", "input_ns", "output_ns")

    def __init__(self) -> None:
        self.count = 0
        self.input_ns = 0
        self.infer_ns = 0
        self.output_ns = 0


class Executions:
    """Counts the batches of one model version. Invariant: sums grow, but for the `shared_`."""

    __slots__ = (
        "_clock",
        "_responses",
        "_sizes",
        "dropped_rows",
        "is_changed",
        "last_s",
        "model",
        "shared_infer_ns",
        "shared_input_ns",
        "shared_output_ns",
        "version",
    )

    def __init__(self, model: str, version: int, clock: Clock) -> None:
        self.model = model
        self.version = version
        self._clock = clock
        self._sizes: dict[int, _Sums] = {}
        self._responses: dict[int, list[int]] = {}
        self.shared_input_ns = 0
        self.shared_infer_ns = 0
        self.shared_output_ns = 0
        self.dropped_rows = 0
        self.last_s = 0.0
        self.is_changed = False

    def ran(self, rows: int, requests: int, timings_ns: Timings) -> None:
        """Counts one batch that answers `requests`; must be followed by `dropped` for those gone by now."""
        sums = self._sizes.get(rows)
        if sums is None:
            sums = self._sizes[rows] = _Sums()
        input_ns, infer_ns, output_ns = timings_ns
        sums.count += 1
        sums.input_ns += input_ns
        sums.infer_ns += infer_ns
        sums.output_ns += output_ns
        if requests != 1:
            others = requests - 1
            self.shared_input_ns += others * input_ns
            self.shared_infer_ns += others * infer_ns
            self.shared_output_ns += others * output_ns
        self.last_s = self._clock()
        self.is_changed = True

    def dropped(self, rows: int, timings_ns: Timings) -> None:
        """A request of that batch, of `rows`, was closed before: it is no answered one."""
        input_ns, infer_ns, output_ns = timings_ns
        self.shared_input_ns -= input_ns
        self.shared_infer_ns -= infer_ns
        self.shared_output_ns -= output_ns
        self.dropped_rows += rows

    def response(self, index: int, how: int, duration_ns: int) -> None:
        """Counts answer `index` of a request that may have any number of them, or what came in its place."""
        place = min(index, MAX_RESPONSES - 1)
        sums = self._responses.get(place)
        if sums is None:
            sums = self._responses[place] = [0] * 8
        sums[how] += 1
        sums[how + 1] += duration_ns
        self.is_changed = True

    def parts(self) -> list[ExecutionSeries]:
        """What was counted so far, as it travels: for many sizes several, which `take` puts together."""
        self.is_changed = False
        sizes = sorted(self._sizes)
        told = [
            self._part(sizes[at : at + SIZES_A_PART], {}) for at in range(0, max(len(sizes), 1), SIZES_A_PART)
        ]
        if self._responses:
            told.append(
                self._part([], {index: ResponseSums(*sums) for index, sums in self._responses.items()})
            )
        return told

    def _part(self, sizes: list[int], responses: dict[int, ResponseSums]) -> ExecutionSeries:
        batches = {}
        for size in sizes:
            sums = self._sizes[size]
            batches[size] = BatchSums(sums.count, sums.input_ns, sums.infer_ns, sums.output_ns)
        return ExecutionSeries(
            self.model,
            self.version,
            batches,
            self.shared_input_ns,
            self.shared_infer_ns,
            self.shared_output_ns,
            self.dropped_rows,
            self.last_s,
            responses,
        )
