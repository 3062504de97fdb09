"""The flags that several commands share, and how a bad configuration is told: exit status 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.config import ConfigError, GatewayConfig, load

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file; [section] key = value as in the reference."),
]
Repositories = Annotated[
    list[Path] | None,
    typer.Option("--repository", "-r", help="Folder of models in Triton's layout; may be repeated."),
]


def load_or_exit(file: Path | None, flags: Mapping[str, Any]) -> GatewayConfig:
    """The configuration of a command line, or exit status 2 with one line per fault."""
    try:
        return load(file, flags=flags)
    except ConfigError as error:
        refuse(*error.faults)


def refuse(*faults: str) -> NoReturn:
    """Says what is wrong on standard error, and exits with status 2."""
    for fault in faults:
        typer.echo(f"error: {fault}", err=True)
    raise typer.Exit(2)
