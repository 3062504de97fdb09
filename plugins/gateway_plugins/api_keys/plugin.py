"""The plugin `api_keys`: who calls, by a key in a header."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.caller import Credentials, Principal
from gateway.core.errors import Overloaded, Unauthenticated
from gateway.hooks import Start, hookimpl
from gateway_plugins.api_keys.administration import administer
from gateway_plugins.api_keys.commands import keys_command
from gateway_plugins.api_keys.keys import parse_key
from gateway_plugins.api_keys.known import Known, known_of, owner_of, principal_of
from gateway_plugins.api_keys.store import Store, read_pepper

log = logging.getLogger("gateway.plugins")

# Between writes of when keys were used last.
USED_S = 60.0


class ApiKeySettings(BaseModel):
    """[plugins.settings.api_keys]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="The key store, made by `gateway keys create`.")
    pepper_file: Path = Field(description="What secrets are hashed under; mode 0600, not beside the store.")
    header: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")] = Field(
        "x-api-key", description="The header with the key; `Authorization: Bearer` works as well."
    )
    refresh_s: float = Field(
        2.0, gt=0, le=5, description="Between looks at the store: so long a revoked key may still work."
    )
    stale_s: float = Field(
        300.0, ge=0, le=86_400, description="How long keys are believed while the store cannot be read."
    )


class ApiKeys:
    """Authenticates callers by API keys (`gateway keys`)."""

    Settings = ApiKeySettings

    def __init__(self, settings: ApiKeySettings, start: Start) -> None:
        self._settings = settings
        self._start = start
        self._header = settings.header
        try:
            self._pepper = read_pepper(settings.pepper_file)
            self._store = Store(settings.file)
            self._known: Known = known_of(self._store.entries(), start.clock())
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"file, pepper_file: {error}") from error
        self._seen = _stamp(settings.file)
        self._used: dict[str, float] = {}
        self._written_at = start.clock()
        self._is_readable = True
        self._task: asyncio.Task[None] | None = None

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Declines what has not the shape of a key, and refuses all other keys with one text."""
        text = credentials.header(self._header) or credentials.bearer()
        if text is None or not text.startswith("gw_"):
            return None
        now, wall = self._start.clock(), self._start.wall()
        key = parse_key(text)
        entry = None if key is None else owner_of(self._known, self._pepper, key, wall)
        if entry is None or now - self._known.read_at > self._settings.stale_s + self._settings.refresh_s:
            raise Unauthenticated("unknown, expired or revoked API key")
        self._used[entry.id] = wall
        return principal_of(entry, now, wall, self._settings.refresh_s)

    @hookimpl
    async def administer(self, request: AdminRequest) -> AdminAnswer:
        """Keys, seen, made and revoked."""
        try:
            return await asyncio.to_thread(administer, self._store, self._pepper, request, self._start.wall())
        except (OSError, sqlite3.Error) as error:
            log.error("the key store cannot be used: %s", error)
            raise Overloaded("the key store cannot be used now") from None

    @hookimpl
    async def on_start(self) -> None:
        """Begins to look at the store."""
        self._task = asyncio.create_task(self._follow(), name="api_keys")

    @hookimpl
    async def on_stop(self) -> None:
        """Ends that, and writes down the last uses."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.to_thread(self._write_used)

    @staticmethod
    @hookimpl
    def register_commands() -> Mapping[str, typer.Typer]:
        """`gateway keys`."""
        return {"keys": keys_command()}

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._settings.refresh_s)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Reads the store where it has changed; must be called in a thread, for the disk may be slow."""
        now = self._start.clock()
        try:
            stamp = _stamp(self._settings.file)
            if stamp != self._seen or not self._is_readable:
                self._known = known_of(self._store.entries(), now)
                self._seen = stamp
            else:
                self._known = self._known._replace(read_at=now)
            if now - self._written_at >= USED_S:
                self._written_at = now
                self._write_used()
        except (OSError, sqlite3.Error, ValueError) as error:
            if self._is_readable:
                log.error("the key store cannot be read: %s; its keys are believed for a while", error)
            self._is_readable = False
        else:
            self._is_readable = True

    def _write_used(self) -> None:
        used, self._used = self._used, {}
        if used:
            try:
                self._store.used(used.items())
            except sqlite3.Error as error:
                log.warning("when keys were used last was not written down: %s", error)


def _stamp(file: Path) -> tuple[tuple[int, int, int], ...]:
    """What changes whenever the store does: its file and its log, by identity, size and time."""
    stamps = []
    for path in (file, file.with_name(file.name + "-wal")):
        try:
            told = os.stat(path)
        except FileNotFoundError:
            if path == file:
                raise
            continue
        stamps.append((told.st_ino, told.st_size, told.st_mtime_ns))
    return tuple(stamps)
