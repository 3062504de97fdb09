"""gateway plugins: what is installed, what can be implemented, and a package to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.configuration import ConfigFile, load_or_exit, refuse
from gateway.cli.new_plugin import NotMade, make_package
from gateway.hooks.manager import CONTRACTS, GROUP, Installed, PluginFault, implemented_by, installed, told
from gateway.hooks.reference import reference

plugins = typer.Typer(help="Plugins: those that are installed, the hooks, and a package to begin with.")


@plugins.callback(invoke_without_command=True)
def list_plugins(context: typer.Context, config: ConfigFile = None) -> None:
    """List the installed plugins, the hooks that each implements, and which the configuration uses."""
    if context.invoked_subcommand is not None:
        return
    use = load_or_exit(config, {}).plugins.use
    try:
        found = installed()
    except PluginFault as fault:
        refuse(str(fault))
    if not found:
        typer.echo(f"no plugins are installed (entry point group {GROUP})")
        return
    table = Table("plugin", "used", "hooks", "from", "what it does")
    for name, one in found.items():
        place = str(use.index(name) + 1) if name in use else ""
        hooks, text = _shown(one)
        table.add_row(name, place, hooks, one.distribution, text)
    Console().print(table)
    for name in use:
        if name not in found:
            typer.echo(f"plugins.use names '{name}', which is not installed", err=True)


@plugins.command()
def hooks(
    name: Annotated[str, typer.Argument(help="One of them; all, if left out.")] = "",
) -> None:
    """Show the reference of the hooks: when each is called, and what a return means."""
    if name and name not in CONTRACTS:
        refuse(f"there is no hook '{name}'; there are {', '.join(CONTRACTS)}")
    typer.echo(reference([CONTRACTS[name]] if name else CONTRACTS.values()))


@plugins.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the plugin and its package, such as night_rates.")],
    folder: Annotated[Path, typer.Option(help="Where the package's folder is made.")] = Path(),
) -> None:
    """Make a package with a plugin, its settings and a test, ready to be installed."""
    try:
        made = make_package(name, folder)
    except NotMade as fault:
        refuse(str(fault))
    typer.echo(f"{made} is made; now:")
    typer.echo(f"  pip install -e {made} && pytest {made}/tests")
    typer.echo(f'  and in the configuration: [plugins] use = ["{name}"]')


def _shown(one: Installed) -> tuple[str, str]:
    """What it implements and what it says of itself; for one that cannot be imported, why."""
    try:
        plugin = one.point.load()
    except Exception as error:  # ruff: ignore[blind-except] - a plugin's defect must not hide the others
        return "", f"cannot be imported: {type(error).__name__}: {error}"
    return "\n".join(implemented_by(plugin)), told(plugin)
