"""gateway plugins: what is installed under the entry point group `gateway.plugins`."""

from __future__ import annotations

from importlib.metadata import entry_points

from rich.console import Console
from rich.table import Table


def plugins() -> None:
    """List the installed plugins; this version serves without calling any."""
    found = sorted(entry_points(group="gateway.plugins"), key=lambda point: point.name)
    if not found:
        Console().print("no plugins are installed (entry point group gateway.plugins)")
        return
    table = Table("name", "object", "distribution")
    for point in found:
        owner = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
        table.add_row(point.name, point.value, owner)
    Console().print(table)
