"""gateway keys: create, list, rotate, revoke. A key's text is shown once, alone on standard output."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from gateway.core.clock import wall_s
from gateway.core.grants import parse_grant, write_grant
from gateway_plugins.api_keys.store import Entry, Store, make_pepper, read_pepper

StoreFile = Annotated[Path, typer.Option("--store", envvar="GATEWAY_KEYS_FILE", help="The key store.")]
PepperFile = Annotated[
    Path, typer.Option("--pepper-file", envvar="GATEWAY_KEYS_PEPPER_FILE", help="Made where there is none.")
]
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def keys_command(now: Callable[[], float] = wall_s) -> typer.Typer:
    """The command with its subcommands; `now` is in seconds since 1970."""
    app = typer.Typer(no_args_is_help=True, help="API keys: who has which, and what they may.")

    @app.command()
    def create(
        store: StoreFile,
        pepper_file: PepperFile,
        owner: Annotated[str, typer.Option(help="Whose it is: the principal in logs and limits.")],
        grant: Annotated[
            list[str], typer.Option(help="Such as infer:fraud* or infer,load:*; may be repeated.")
        ],
        tenant: Annotated[str, typer.Option(help="To whom the owner belongs.")] = "",
        expires: Annotated[str, typer.Option(help="Such as 90d or 12h; never, if left out.")] = "",
    ) -> None:
        """Make a key and show it, once."""
        with _told():
            grants, span = [parse_grant(one) for one in grant], _span(expires)
            make_pepper(pepper_file)
            opened = Store(store, create=True)
            at = now()
            key = opened.create(
                read_pepper(pepper_file), owner, tenant, grants, at, at + span if span else None
            )
        typer.echo(f"key {key.id} of {owner}; it is shown this once:", err=True)
        typer.echo(key.text())

    @app.command("list")
    def list_keys(store: StoreFile) -> None:
        """List the keys and what they may; no secret is in the store."""
        with _told():
            entries = Store(store).entries()
        table = Table("key", "owner", "tenant", "grants", "state", "created", "expires", "last used")
        for one in entries:
            granted = "\n".join(write_grant(grant) for grant in one.grants)
            times = (_shown(at) for at in (one.created, one.expires, one.last_used))
            table.add_row(one.id, one.owner, one.tenant, granted, _state(one, now()), *times)
        Console().print(table)

    @app.command()
    def revoke(
        store: StoreFile, key: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")]
    ) -> None:
        """Make a key worthless, within seconds everywhere."""
        with _told():
            if not Store(store).revoke(key, now()):
                _refuse(f"there is no key '{key}'")
        typer.echo(f"key {key} is revoked", err=True)

    @app.command()
    def rotate(
        store: StoreFile,
        pepper_file: PepperFile,
        key: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
        overlap: Annotated[str, typer.Option(help="How long the old one still works.")] = "24h",
    ) -> None:
        """Make another key with the same rights, and let the old one end."""
        with _told():
            try:
                made = Store(store).rotate(read_pepper(pepper_file), key, now(), _span(overlap))
            except KeyError:
                _refuse(f"there is no valid key '{key}'")
        typer.echo(f"key {made.id} replaces {key}, which ends in {overlap}; it is shown this once:", err=True)
        typer.echo(made.text())

    return app


@contextmanager
def _told() -> Generator[None]:
    """Says in one line what went wrong, with exit status 2."""
    try:
        yield
    except (OSError, sqlite3.Error, ValueError) as error:
        _refuse(str(error))


def _refuse(text: str) -> NoReturn:
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(2)


def _span(text: str) -> float:
    """Seconds; 0 for nothing. Raises ValueError."""
    if not text:
        return 0.0
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no span of time: a number with s, m, h or d")
    return float(found[1]) * _SECONDS[found[2]]


def _state(entry: Entry, wall: float) -> str:
    if entry.revoked is not None:
        return "revoked"
    return "valid" if entry.is_valid(wall) else "expired"


def _shown(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
