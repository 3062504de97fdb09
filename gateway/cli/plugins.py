"""gateway plugins: what is installed under the entry point group `gateway.plugins`."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.configuration import ConfigFile, load_or_exit, refuse
from gateway.hooks.manager import GROUP, Installed, PluginFault, implemented_by, installed, told


def plugins(config: ConfigFile = None) -> None:
    """List the installed plugins, the hooks that each implements, and which the configuration uses."""
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


def _shown(one: Installed) -> tuple[str, str]:
    """What it implements and what it says of itself; for one that cannot be imported, why."""
    try:
        plugin = one.point.load()
    except Exception as error:  # ruff: ignore[blind-except] - a plugin's defect must not hide the others
        return "", f"cannot be imported: {type(error).__name__}: {error}"
    return "\n".join(implemented_by(plugin)), told(plugin)
