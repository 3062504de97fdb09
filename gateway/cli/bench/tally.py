"""What one process saw, and in which form it tells."""

from __future__ import annotations

import resource

import msgspec

from gateway.cli.bench.histogram import Counted, Histogram

# A request sent later than this after it was due is counted as late.
LATE_S = 0.001
_EXAMPLE_CHARACTERS = 300


class Outcome(msgspec.Struct, frozen=True, tag=True):
    """One process's share of a measurement; all counts are of requests within the measured window."""

    latency: Counted
    lag: Counted
    succeeded: int
    errors: dict[str, int]
    examples: dict[str, str]
    late: int
    unsent: int
    resent: int
    reconnects: int
    bytes_in: int
    bytes_out: int
    window_s: float
    cpu_s: float


class Mark(msgspec.Struct, frozen=True):
    """Running totals at one moment."""

    now: float
    bytes_in: int
    bytes_out: int
    cpu_s: float


def mark(now: float, bytes_in: int, bytes_out: int) -> Mark:
    """The totals, and this process's CPU time, now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Mark(now, bytes_in, bytes_out, used.ru_utime + used.ru_stime)


class Tally:
    """Counts while a process runs."""

    __slots__ = ("errors", "examples", "lag", "late", "latency", "reconnects", "resent", "unsent")

    def __init__(self) -> None:
        self.latency = Histogram()
        self.lag = Histogram()
        self.errors: dict[str, int] = {}
        self.examples: dict[str, str] = {}
        self.late = self.unsent = self.resent = self.reconnects = 0

    def fail(self, kind: str, detail: str) -> None:
        """Counts a failure, and keeps what was said about the first of its kind."""
        self.errors[kind] = self.errors.get(kind, 0) + 1
        if detail and kind not in self.examples:
            self.examples[kind] = detail[:_EXAMPLE_CHARACTERS]

    def sent(self, lag_s: float) -> None:
        """Counts a request of the open loop by how late it was sent."""
        self.lag.record(lag_s)
        if lag_s > LATE_S:
            self.late += 1

    def close(self, first: Mark, last: Mark, window_s: float) -> Outcome:
        """All that was counted between two marks."""
        return Outcome(
            latency=self.latency.freeze(),
            lag=self.lag.freeze(),
            succeeded=self.latency.count,
            errors=self.errors,
            examples=self.examples,
            late=self.late,
            unsent=self.unsent,
            resent=self.resent,
            reconnects=self.reconnects,
            bytes_in=last.bytes_in - first.bytes_in,
            bytes_out=last.bytes_out - first.bytes_out,
            window_s=window_s,
            cpu_s=last.cpu_s - first.cpu_s,
        )
