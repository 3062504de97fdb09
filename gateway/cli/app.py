"""The `gateway` command and its subcommands."""

from __future__ import annotations

import typer

from gateway import __version__
from gateway.cli.bench.command import bench_command
from gateway.cli.check import check
from gateway.cli.devices import devices
from gateway.cli.models import models
from gateway.cli.plugins import plugins
from gateway.cli.push import push
from gateway.cli.serve import serve

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A multi-model inference gateway: V2 over REST and gRPC, models loaded when first called.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """A multi-model inference gateway."""


app.command()(serve)
app.command()(check)
app.command()(models)
app.command()(push)
app.command()(devices)
app.command()(plugins)
app.command("bench")(bench_command)


def main() -> None:
    """The `gateway` command."""
    app()
