"""gateway models: what lies in a repository, as a gateway would serve it; or what one serves, as it does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from gateway.cli.configuration import ConfigFile, Repositories, load_or_exit, refuse
from gateway.cli.operator import Operator, OperatorError, TokenFile
from gateway.core.tensor_spec import TensorSpec
from gateway.repository.catalogue import Catalogue, ModelEntry
from gateway.repository.local import RepositoryUnreachable, scan_all

WATCH_S = 1.0


def models(
    repository: Repositories = None,
    config: ConfigFile = None,
    server: Annotated[
        str | None,
        typer.Option("--server", "-s", help="The admin API of a gateway: what it serves."),
    ] = None,
    token_file: TokenFile = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="With --server: go on.")] = False,
) -> None:
    """List the models of the repository with what their configuration tells, or those a gateway serves."""
    if server is not None:
        show_served(server, token_file, watch=watch)
        return
    if watch:
        refuse("--watch needs --server")
    loaded = load_or_exit(config, {"repository.paths": repository or None})
    try:
        catalogue = scan_all(loaded.repository.paths)
    except RepositoryUnreachable as error:
        refuse(error.text)
    Console().print(table_of(catalogue))


def show_served(server: str, token_file: Path | None, *, watch: bool) -> None:
    """Prints what a gateway serves; goes on until it is interrupted with `watch`."""
    console = Console()
    try:
        with Operator(server, token_file) as operator:
            if watch:
                _watch(operator, console, WATCH_S)
            console.print(live_table(operator.ask("GET", "/models").body["models"]))
    except OperatorError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        return


def table_of(catalogue: Catalogue) -> Table:
    """One row a model."""
    table = Table("model", "versions", "platform", "batch", "inputs", "outputs", "state")
    for entry in catalogue.entries.values():
        table.add_row(*_row(entry))
    return table


def _row(entry: ModelEntry) -> tuple[str, ...]:
    config = entry.config
    platforms = sorted({version.platform for version in entry.versions})
    return (
        entry.name,
        " ".join(_version(entry, version.version) for version in entry.versions),
        " ".join(platforms),
        str(config.max_batch_size) if config.is_max_batch_known else "from the model",
        _tensors(config.inputs),
        _tensors(config.outputs),
        entry.broken or _state(entry),
    )


def _state(entry: ModelEntry) -> str:
    graph = entry.config.ensemble
    if graph is None:
        return "loads when called"
    return f"calls {', '.join(dict.fromkeys(step.model for step in graph.steps))}"


def _version(entry: ModelEntry, version: int) -> str:
    """The number, with the labels that name it."""
    labels = [label for label, named in entry.labels.items() if named == version]
    return f"{version} ({', '.join(labels)})" if labels else str(version)


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    if not specs:
        return "from the model"
    return "\n".join(
        f"{spec.name} {spec.dtype.name} {list(spec.shape)}{' optional' if spec.is_optional else ''}"
        for spec in specs
    )


def live_table(overview: Sequence[Mapping[str, Any]]) -> Table:
    """One row a version, as a gateway serves it."""
    table = Table("model", "version", "state", "instances", "requests", "memory", "unused", "reason")
    for model in overview:
        if not model["versions"]:
            table.add_row(model["name"], "", "UNAVAILABLE", "", "", "", "", escape(model["reason"]))
        for one in model["versions"]:
            table.add_row(*_live_row(model, one))
    return table


def _live_row(model: Mapping[str, Any], one: Mapping[str, Any]) -> tuple[str, ...]:
    labels = [label for label, named in model["labels"].items() if named == one["version"]]
    number = f"{one['version']} ({', '.join(labels)})" if labels else str(one["version"])
    memory = " ".join(f"{device} {size / (1 << 20):.1f} MiB" for device, size in one["memory_bytes"].items())
    unused = "" if one["unused_s"] is None else f"{one['unused_s']:.0f} s"
    is_there = one["ready"] or one["wanted"]
    instances = f"{one['ready']} of {one['wanted']}" if is_there else ""
    requests = str(one["in_flight"]) if one["in_flight"] else ""
    return (
        *(model["name"], number, one["phase"] if one["state"] != "UNAVAILABLE" else one["state"]),
        *(instances, requests, memory, unused, escape(one["reason"])),
    )


def _watch(operator: Operator, console: Console, interval_s: float) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(live_table(operator.ask("GET", "/models").body["models"]), refresh=True)
            time.sleep(interval_s)
