"""The keys as one process knows them: read whole, looked up in memory, read anew when the file changes."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

from gateway.core.caller import Principal
from gateway_plugins.api_keys.keys import Key, hashed
from gateway_plugins.api_keys.store import Entry

# Compared where a key's id is unknown, so that this takes as long as where it is not.
_NOBODY: Final = bytes(32)


class Known(NamedTuple):
    """The store's content as it was read at `read_at`, on the monotonic clock."""

    entries: Mapping[str, Entry]
    read_at: float


def known_of(entries: Iterable[Entry], now: float) -> Known:
    """What was read at `now`."""
    return Known({one.id: one for one in entries}, now)


def owner_of(known: Known, pepper: bytes, key: Key, wall: float) -> Entry | None:
    """Whose key it is; None for one that is unknown, expired or revoked, or whose secret is wrong."""
    entry = known.entries.get(key.id)
    expected = _NOBODY if entry is None else entry.hash
    is_right = hmac.compare_digest(hashed(pepper, key.secret), expected)
    if entry is None or not is_right or not entry.is_valid(wall):
        return None
    return entry


def principal_of(entry: Entry, now: float, wall: float, recheck_s: float) -> Principal:
    """The owner, to be asked for again after `recheck_s` or when the key expires."""
    left_s = inf if entry.expires is None else entry.expires - wall
    return Principal(entry.owner, entry.tenant, entry.grants, "api_key", now + min(recheck_s, left_s))
