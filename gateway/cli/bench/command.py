"""`gateway bench MODEL`: options to a plan, results to a table, JSON and a picture."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.cli.bench.plan import (
    BenchError,
    Plan,
    check_plan,
    parse_cpus,
    parse_duration,
    parse_header,
    parse_shape,
    parse_sweep,
)
from gateway.cli.bench.plot import check_plot_path, write_plot
from gateway.cli.bench.preparing import prepare
from gateway.cli.bench.processes import measure
from gateway.cli.bench.report import print_report
from gateway.cli.bench.result import Report, Result, make_report
from gateway.core.clock import Clock, monotonic_s

_BAD_INPUT = 2
_FAILED_REQUESTS = 1
_INTERRUPTED = 130
_WARMUP_S = 2.0
# A narrower table would cut its numbers; a narrower terminal wraps.
_TABLE_WIDTH = 118


class ProtocolName(enum.StrEnum):
    """--protocol"""

    REST = "rest"
    REST_BINARY = "rest-binary"
    GRPC = "grpc"


class ArrivalsName(enum.StrEnum):
    """--arrivals"""

    CONSTANT = "constant"
    POISSON = "poisson"


def bench_command(  # ruff: ignore[too-many-arguments] - one parameter an option is how typer wants it
    model: Annotated[str, typer.Argument(help="The model's name.")],
    url: Annotated[str, typer.Option(help="host:port of any V2 server.")] = "127.0.0.1:8000",
    protocol: Annotated[ProtocolName, typer.Option(help="What to speak.")] = ProtocolName.REST,
    version: Annotated[str, typer.Option(help="The model's version; the latest if not given.")] = "",
    concurrency: Annotated[int, typer.Option(help="Closed loop: requests in flight.")] = 64,
    rate: Annotated[float | None, typer.Option(help="Open loop: requests a second.")] = None,
    arrivals: Annotated[
        ArrivalsName, typer.Option(help="Open loop: even, or random as independent callers.")
    ] = ArrivalsName.CONSTANT,
    duration: Annotated[str, typer.Option(help="How long to measure.")] = "10s",
    requests: Annotated[int | None, typer.Option(help="Measure so many requests instead.")] = None,
    warmup: Annotated[
        str | None, typer.Option(help="Sent but not measured first [2s; 0s with --requests].")
    ] = None,
    connections: Annotated[
        int | None,
        typer.Option(help="TCP connections, over all processes [the concurrency; 64 with --rate]."),
    ] = None,
    streams: Annotated[int, typer.Option(help="gRPC: requests at once on a connection.")] = 1,
    processes: Annotated[int, typer.Option(help="Generating processes.")] = 1,
    cpus: Annotated[str, typer.Option(help="Pin them to these cores, in turn: 1, 0,2 or 4-7.")] = "",
    batch: Annotated[int, typer.Option(help="Rows in a request.")] = 1,
    shape: Annotated[list[str] | None, typer.Option(help="NAME:1,30 for an input with free axes.")] = None,
    data: Annotated[str | None, typer.Option(help="Inputs: a V2 JSON body, or .npz by name.")] = None,
    deadline: Annotated[
        str | None, typer.Option(help="Fail what takes longer; sent as grpc-timeout.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Give a request up after this long.")] = "30s",
    header: Annotated[list[str] | None, typer.Option(help="name:value to send with requests.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Bearer token; several lines: in turn with --unique-metadata.")
    ] = None,
    unique_metadata: Annotated[
        bool,
        typer.Option("--unique-metadata", help="New traceparent, grpc-timeout, bearer token each time."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Count answers that differ from the first as failed.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of random inputs and arrivals.")] = 1,
    sweep: Annotated[
        str | None, typer.Option(help="1,2,4: measure each concurrency (with --rate: each rate).")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Latency against load, .png or .html.")] = None,
    fail_on_error: Annotated[
        bool, typer.Option("--fail-on-error", help="Exit with 1 if any request failed.")
    ] = False,
) -> None:
    """Measure a model's throughput and latency on any V2 server."""
    errors = Console(stderr=True)
    try:
        if plot is not None:
            check_plot_path(plot)
        plan = Plan(
            model=model,
            url=url,
            protocol=protocol.value,
            version=version,
            concurrency=concurrency,
            rate=rate,
            arrivals=arrivals.value,
            duration_s=parse_duration(duration),
            requests=requests,
            warmup_s=_warmup_s(warmup, requests),
            connections=connections,
            streams=streams,
            processes=processes,
            cpus=parse_cpus(cpus) if cpus else (),
            batch=batch,
            shapes=dict(parse_shape(text) for text in shape or ()),
            data=data,
            deadline_s=None if deadline is None else parse_duration(deadline),
            timeout_s=parse_duration(timeout),
            headers=tuple(parse_header(text) for text in header or ()),
            tokens=() if token_file is None else _read_tokens(token_file),
            unique_metadata=unique_metadata,
            check=check,
            seed=seed,
        )
        report = run_loads(loads(plan, sweep), errors, monotonic_s)
        if plot is not None:
            write_plot(report, plot)
    except BenchError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(_BAD_INPUT) from error
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    show(report, as_json=json_output)
    if fail_on_error and report.has_failures:
        raise typer.Exit(_FAILED_REQUESTS)


def show(report: Report, *, as_json: bool) -> None:
    """Prints to stdout: one JSON object and nothing else, or the table."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        console = Console()
        console.width = max(console.width, _TABLE_WIDTH)
        print_report(report, console)


def loads(plan: Plan, sweep: str | None) -> tuple[Plan, ...]:
    """One plan for each load of the sweep, or the plan alone."""
    if sweep is None:
        return (plan,)
    values = parse_sweep(sweep)
    if plan.rate is not None:
        return tuple(msgspec.structs.replace(plan, rate=value) for value in values)
    if any(value != int(value) for value in values):
        raise BenchError("--sweep: a concurrency is a whole number; for rates give --rate as well")
    return tuple(msgspec.structs.replace(plan, concurrency=int(value)) for value in values)


def run_loads(plans: Sequence[Plan], console: Console, clock: Clock) -> Report:
    """Prepares once, measures each, shows the progress on a terminal."""
    for plan in plans:
        check_plan(plan)
    prepared = prepare(plans[-1], clock)
    results: list[Result] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        for plan in plans:
            watch = _Watch(progress, plan, clock)
            results.append(measure(prepared, plan, on_progress=watch, clock=clock))
            watch.close()
    return make_report(plans[-1], prepared.tensor_bytes, results)


class _Watch:
    """One load's progress bar: of the time, or of the requests where their number ends it."""

    def __init__(self, progress: Progress, plan: Plan, clock: Clock) -> None:
        self._progress = progress
        self._requests = plan.requests
        self._clock = clock
        self._began = clock()
        total = plan.requests or plan.warmup_s + plan.duration_s
        self._task = progress.add_task(f"{plan.load:,g}", total=total, said="")

    def __call__(self, succeeded: int, failed: int) -> None:
        done = succeeded + failed if self._requests is not None else self._clock() - self._began
        self._progress.update(self._task, completed=done, said=f"{succeeded:,} ok, {failed:,} failed")

    def close(self) -> None:
        self._progress.remove_task(self._task)


def _warmup_s(text: str | None, requests: int | None) -> float:
    if text is not None:
        return parse_duration(text)
    return _WARMUP_S if requests is None else 0.0


def _read_tokens(path: Path) -> tuple[str, ...]:
    try:
        tokens = tuple(path.read_text(encoding="ascii").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"--token-file: {path}: {error}") from error
    found = tuple(token.strip() for token in tokens if token.strip())
    if not found:
        raise BenchError(f"--token-file: {path} holds no token")
    return found
