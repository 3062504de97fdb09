"""Who has which key: a SQLite file without any secret, shared by all processes of a machine."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway.core.caller import Grant, checked_label
from gateway.core.grants import parse_grant, write_grant
from gateway_plugins.api_keys.keys import Key, hashed, new_key

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
  id TEXT PRIMARY KEY, hash BLOB NOT NULL, owner TEXT NOT NULL, tenant TEXT NOT NULL, grants TEXT NOT NULL,
  created REAL NOT NULL, expires REAL, revoked REAL, last_used REAL
) STRICT
"""
_COLUMNS = "id, hash, owner, tenant, grants, created, expires, revoked, last_used"
_PEPPER_BYTES = 32


class Entry(NamedTuple):
    """What is stored of a key; times in seconds since 1970, None where there is none."""

    id: str
    hash: bytes
    owner: str
    tenant: str
    grants: tuple[Grant, ...]
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None

    def is_valid(self, wall: float) -> bool:
        """True until it expires or is revoked."""
        return self.revoked is None and (self.expires is None or wall < self.expires)


class Store:
    """One file; each method is one transaction. Blocks on the disk; raises OSError or sqlite3.Error."""

    def __init__(self, file: Path, *, create: bool = False) -> None:
        if create and not file.exists():
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if not file.is_file():
            raise FileNotFoundError(f"there is no key store at {file}")
        self._file = file
        with closing(self._open()) as base, base:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute(_SCHEMA)

    def create(
        self,
        pepper: bytes,
        owner: str,
        tenant: str,
        grants: Iterable[Grant],
        wall: float,
        expires: float | None,
    ) -> Key:
        """A new key of `owner`; raises ValueError for a name that cannot be one."""
        checked_label("owner", owner)
        if tenant:
            checked_label("tenant", tenant)
        key = new_key()
        told = json.dumps([write_grant(one) for one in grants])
        row = (key.id, hashed(pepper, key.secret), owner, tenant, told, wall, expires)
        with closing(self._open()) as base, base:
            base.execute(
                "INSERT INTO keys (id, hash, owner, tenant, grants, created, expires) VALUES (?,?,?,?,?,?,?)",
                row,
            )
        return key

    def entries(self) -> list[Entry]:
        """All keys, also those that are no longer valid, the oldest first."""
        with closing(self._open()) as base:
            rows = base.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created, id").fetchall()
        return [_entry(row) for row in rows]

    def revoke(self, identity: str, wall: float) -> bool:
        """From now on the key proves nothing; False where there is no such key. Harmless when repeated."""
        with closing(self._open()) as base, base:
            done = base.execute(
                "UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (wall, identity)
            )
        return done.rowcount == 1

    def rotate(self, pepper: bytes, identity: str, wall: float, overlap_s: float) -> Key:
        """A new key like that one, which then has `overlap_s` left; raises KeyError for an invalid one."""
        entry = next((one for one in self.entries() if one.id == identity), None)
        if entry is None or not entry.is_valid(wall):
            raise KeyError(identity)
        lifetime = None if entry.expires is None else wall + (entry.expires - entry.created)
        key = self.create(pepper, entry.owner, entry.tenant, entry.grants, wall, lifetime)
        ends = wall + overlap_s if entry.expires is None else min(entry.expires, wall + overlap_s)
        with closing(self._open()) as base, base:
            base.execute("UPDATE keys SET expires = ? WHERE id = ?", (ends, identity))
        return key

    def used(self, times: Iterable[tuple[str, float]]) -> None:
        """Keeps when keys were used last, by their ids."""
        with closing(self._open()) as base, base:
            base.executemany(
                "UPDATE keys SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?",
                [(at, identity) for identity, at in times],
            )

    def _open(self) -> sqlite3.Connection:
        # By its address: the file is never made here, also if somebody has removed it meanwhile.
        base = sqlite3.connect(f"file:{_quoted(self._file)}?mode=rw", uri=True, timeout=5.0)
        base.execute("PRAGMA synchronous = FULL")
        return base


def read_pepper(file: Path) -> bytes:
    """The pepper; raises OSError, or ValueError for a file that others may read or that is too short."""
    if file.stat().st_mode & 0o077:
        raise ValueError(f"pepper_file: {file.name} may be read by others; it must have mode 0600")
    pepper = file.read_bytes()
    if len(pepper) < _PEPPER_BYTES:
        raise ValueError(f"pepper_file: {file.name} must hold at least {_PEPPER_BYTES} bytes")
    return pepper


def make_pepper(file: Path) -> None:
    """Makes the file where there is none; never replaces one."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as made:
        made.write(secrets.token_bytes(_PEPPER_BYTES))


def _entry(row: tuple[str, bytes, str, str, str, float, float | None, float | None, float | None]) -> Entry:
    identity, digest, owner, tenant, grants, *times = row
    created, expires, revoked, last_used = times
    assert created is not None
    parsed = tuple([parse_grant(one) for one in json.loads(grants)])
    return Entry(identity, digest, owner, tenant, parsed, created, expires, revoked, last_used)


def _quoted(file: Path) -> str:
    """A path as it may stand in an address."""
    return str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
