"""Commands that plugins bring: found by their entry points when a command is none of the gateway's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import typer

from gateway.hooks.manager import Installed, Loaded, PluginFault, implemented_by, installed, registered

_HOOK = "register_commands"


def wants_plugins(arguments: Sequence[str], own: Collection[str]) -> bool:
    """True where plugins must be looked at: an unknown command, or a list of all that there are."""
    words = [one for one in arguments if not one.startswith("-")]
    return words[0] not in own if words else "--version" not in arguments


def add_commands(app: typer.Typer, own: Collection[str], found: Iterable[Installed] | None = None) -> None:
    """Adds to `app` what plugins bring; one that cannot be used is told of and costs nobody else."""
    for one in installed().values() if found is None else found:
        try:
            plugin = one.point.load()
            commands = registered([Loaded(one.name, plugin, implemented_by(plugin))], _HOOK)
            taken = [name for _, brought in commands for name in brought if name in own]
        except ModuleNotFoundError:
            continue  # of a library that is not installed: `gateway plugins` says which
        except Exception as error:  # ruff: ignore[blind-except] - a plugin's defect must not take the command away
            reason = str(error) if isinstance(error, PluginFault) else type(error).__name__
            typer.echo(f"plugin '{one.name}' brings no commands: {reason}", err=True)
            continue
        for _, brought in commands:
            for name, command in brought.items():
                if name in taken:
                    typer.echo(f"plugin '{one.name}': '{name}' is a command of the gateway", err=True)
                else:
                    app.add_typer(command, name=name)
