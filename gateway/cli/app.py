"""The `gateway` command and its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import typer

from gateway import __version__
from gateway.cli.bench.command import bench_command
from gateway.cli.check import check
from gateway.cli.devices import devices
from gateway.cli.extensions import add_commands, wants_plugins
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


_OWN: Mapping[str, Callable[..., None]] = {
    "serve": serve,
    "check": check,
    "models": models,
    "push": push,
    "devices": devices,
    "bench": bench_command,
}
for _name, _command in _OWN.items():
    app.command(_name)(_command)
app.add_typer(plugins, name="plugins")
_NAMES = (*_OWN, "plugins")


def main() -> None:
    """The `gateway` command."""
    if wants_plugins(sys.argv[1:], _NAMES):
        add_commands(app, _NAMES)
    app()
