"""What was measured, as values, a table to read and JSON to keep."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

from tests.bench.figures import Direction, Measure, Target, paired_ratios

# Above this share of its core a generator is as likely the limit as the server.
_SATURATED = 0.95


class Row(msgspec.Struct, frozen=True, tag="measured"):
    """One line of the issue's table; `figure` is what the target speaks of, `ours` in `unit`.

    `failures` counts the requests without a good answer, over all rounds and both sides; a row with
    one has not reached its target, whatever its figure.
    """

    name: str
    title: str
    target: Target
    figure: float
    ours: Measure
    unit: str
    peer: str = ""
    theirs: Measure | None = None
    failures: int = 0
    requests: int = 0
    busy: float = 0.0  # most that the generator used of its core in a round

    @property
    def is_reached(self) -> bool:
        return not self.failures and self.target.is_reached_by(self.figure)

    @property
    def range(self) -> str:
        """From the lowest to the highest: of the ratios of neighbouring rounds, or of the figure."""
        values = self.ours.rounds if self.theirs is None else paired_ratios(self.ours, self.theirs)
        return f"{number(min(values))} … {number(max(values))}"


class NotMeasured(msgspec.Struct, frozen=True, tag="not measured"):
    """A line without data, and why."""

    name: str
    title: str
    target: Target
    reason: str


class Result(msgspec.Struct, frozen=True):
    """One run of a suite."""

    suite: str
    started: str
    machine: dict[str, str]
    rounds: int
    seconds: float
    rows: tuple[Row | NotMeasured, ...]


def number(value: float) -> str:
    """Three significant digits, more where the value has more before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(result: Result) -> str:
    """The table of a result, then the reasons of what has none."""
    lines = [
        f"### {result.suite}, {result.started}",
        "",
        f"{result.rounds} rounds of {result.seconds:g} s, sides alternating, medians (lowest … highest). "
        + ", ".join(f"{key} {value}" for key, value in result.machine.items()),
        "",
        "| what | target | measured | range | ours | theirs | failed | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for row in result.rows]
    lines += [note for row in result.rows if (note := _note(row))]
    return "\n".join(lines) + "\n"


def _line(row: Row | NotMeasured) -> str:
    match row:
        case NotMeasured():
            return f"| {row.title} | {row.target} | - | | | | | not measured |"
        case Row():
            theirs = f"{row.peer} {_side(row.theirs, row.unit)}" if row.theirs else ""
            verdict = "reached" if row.is_reached else "missed"
            return (
                f"| {row.title} | {row.target} | {number(row.figure)} {row.target.unit} | {row.range} "
                f"| {_side(row.ours, row.unit)} | {theirs} | {row.failures} of {row.requests:,} | {verdict} |"
            )


def _note(row: Row | NotMeasured) -> str:
    match row:
        case NotMeasured():
            return f"\n{row.name}: {row.reason}"
        case Row(busy=busy) if busy > _SATURATED:
            return f"\n{row.name}: the generator used {busy:.0%} of its core; the server may do more."
        case Row():
            return ""


def _side(measure: Measure, unit: str) -> str:
    return f"{number(measure.median)} {unit} ± {measure.spread / 2:.0%}"


def save(result: Result, file: Path) -> Path:
    """Writes the result as JSON, over an earlier one; returns the path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return file


def machine() -> dict[str, str]:
    """What the figures depend on: processor, cores, kernel, Python."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def at_least(value: float, unit: str = "x") -> Target:
    return Target(Direction.AT_LEAST, value, unit)


def at_most(value: float, unit: str = "x") -> Target:
    return Target(Direction.AT_MOST, value, unit)


def below(value: float, unit: str) -> Target:
    return Target(Direction.BELOW, value, unit)
