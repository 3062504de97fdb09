"""Results for people: a table, what went wrong, and what makes the numbers doubtful."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.bench.result import Report, Result

# Above this the generator itself may be what limits the rate or stretches the latency.
_BUSY = 0.9
# Open loop: fewer than one request in a hundred late is the machine's jitter, not a pattern.
_LATE_SHARE = 0.01


def print_report(report: Report, console: Console) -> None:
    """Writes the table, then errors by kind, then warnings."""
    console.print(_table(report))
    for result in report.results:
        for kind, number in result.errors.items():
            said = result.examples.get(kind, "")
            console.print(f"[red]{number:,} of {escape(kind)}[/red] {escape(said)}".rstrip())
    for warning in warnings(report):
        console.print(f"[yellow]note:[/yellow] {escape(warning)}")


def _table(report: Report) -> Table:
    first = report.results[0]
    rows = f", batch {report.batch}" if report.batch > 1 else ""
    title = f"{report.model} · {report.protocol} · {report.url} · {report.connections} connections{rows}"
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
    load = "concurrency" if first.mode == "closed" else "asked/s"
    for heading in (load, "requests/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed"):
        table.add_column(heading, justify="right")
    for heading in ("out MB/s", "in MB/s", "generator"):
        table.add_column(heading, justify="right")
    for result in report.results:
        table.add_row(*_cells(result))
    return table


def _cells(result: Result) -> tuple[str, ...]:
    latency = result.latency
    shown = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms)
    return (
        f"{result.load:,g}",
        f"{result.rate:,.0f}",
        *(f"{value:.3f}" for value in shown),
        f"{result.failed:,}",
        f"{result.sent_bytes_per_s / 1e6:,.1f}",
        f"{result.received_bytes_per_s / 1e6:,.1f}",
        f"{result.generator_cpu:.0%}",
    )


def warnings(report: Report) -> Iterator[str]:
    """What a reader must know before believing a number."""
    busy = [f"{result.load:,g}" for result in report.results if result.generator_cpu > _BUSY]
    if busy:
        yield (
            f"at {', '.join(busy)} the generator used more than {_BUSY:.0%} of a core and may be the limit: "
            "add --processes, or --cpus to keep it apart from the server"
        )
    for result in report.results:
        load = f"{result.load:,g}"
        if result.unsent:
            yield (
                f"at {load} requests/s {result.unsent:,} were due and never sent: the server did not keep up "
                f"with {report.connections} connections; the percentiles are of the others"
            )
        elif result.late > _LATE_SHARE * max(result.requests, 1):
            yield (
                f"at {load} requests/s {result.late:,} were sent more than 1 ms late (p99 "
                f"{result.lag_p99_ms:.1f} ms); their latency counts from when they were due"
            )
