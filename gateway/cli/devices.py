"""gateway devices: what there is to run on, as the gateway sees it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from gateway.cli.configuration import ConfigFile, load_or_exit
from gateway.core.device import Device
from gateway.devices.inventory import Inventory, Look
from gateway.devices.reserve import Reserve
from gateway.runtimes.gpus import told_here

_GIB = 1 << 30


def devices(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the CPU, GPUs and MIG slices: their memory, their share of a GPU, and whether they are lost."""
    settings = load_or_exit(config, {}).devices
    inventory = Inventory.find(told_here(), settings.host_memory_bytes)
    try:
        look = inventory.look()
    finally:
        inventory.close()
    rows = rows_of(look, settings.reserve)
    if as_json:
        typer.echo(json.dumps({"devices": rows, "reason": look.reason}, indent=2))
        return
    Console().print(table_of(rows))
    if look.reason:
        typer.echo(f"no GPU was looked for: {look.reason}")


def rows_of(look: Look, reserve: Reserve) -> list[dict[str, Any]]:
    """One object a device; `number` is the one that instance groups have for it, null for the CPU."""
    numbers = {device.id: number for number, device in enumerate(look.gpus)}
    return [
        {
            "number": numbers.get(device.id),
            "id": device.id,
            "kind": device.kind,
            "name": device.name,
            "card": _card(device),
            "memory_bytes": device.memory_bytes,
            "usable_bytes": reserve.usable_bytes(device),
            "free_bytes": look.free_bytes.get(device.id),
            "compute_share": device.compute_share,
            "is_healthy": device.is_healthy,
        }
        for device in look.devices
    ]


def table_of(rows: list[dict[str, Any]]) -> Table:
    """The same for people."""
    # An id that is cut short would be none.
    names = ("number", "kind", "name", "memory", "usable", "free", "share", "health")
    first, *others = (Column(name, overflow="fold") for name in names)
    table = Table(first, Column("id", overflow="fold"), *others)
    for row in rows:
        table.add_row(
            "" if row["number"] is None else str(row["number"]),
            row["id"],
            row["kind"],
            row["name"],
            _size(row["memory_bytes"]),
            _size(row["usable_bytes"]),
            _size(row["free_bytes"]),
            "" if row["kind"] == "cpu" else f"{row['compute_share']:.2f}",
            "sound" if row["is_healthy"] else "lost",
        )
    return table


def _card(device: Device) -> dict[str, Any] | None:
    """The driver's number of the card, and its UUID; None for the CPU."""
    if device.kind == "cpu":
        return None
    return {"number": device.number, "id": device.parent or device.id}


def _size(size_bytes: int | None) -> str:
    return "not told" if size_bytes is None else f"{size_bytes / _GIB:.1f} GiB"
