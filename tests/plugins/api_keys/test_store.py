"""The store keeps who has which key, and no secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.grants import parse_grant
from gateway_plugins.api_keys.keys import Key, hashed
from gateway_plugins.api_keys.store import Store, make_pepper, read_pepper

PEPPER = b"p" * 32
GRANTS = (parse_grant("infer,preview:fraud*"), parse_grant("*:digits"))
DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "keys.db", create=True)


def made(store: Store, wall: float = 1000.0, expires: float | None = None) -> Key:
    return store.create(PEPPER, "anna", "shop", GRANTS, wall, expires)


def test_what_is_made_is_there(store: Store) -> None:
    key = made(store)
    (entry,) = store.entries()
    assert (entry.id, entry.owner, entry.tenant, entry.grants) == (key.id, "anna", "shop", GRANTS)
    assert entry.hash == hashed(PEPPER, key.secret)
    assert (entry.created, entry.expires, entry.revoked, entry.last_used) == (1000.0, None, None, None)


def test_the_files_hold_no_secret_and_are_the_owners_alone(store: Store, tmp_path: Path) -> None:
    keys = [made(store) for _ in range(20)]
    store.revoke(keys[0].id, 1001.0)
    dump = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert keys[0].id.encode() in dump
    for key in keys:
        assert key.secret.encode() not in dump
    assert PEPPER not in dump
    assert (tmp_path / "keys.db").stat().st_mode & 0o777 == 0o600


def test_a_key_ends_when_it_expires_or_is_revoked(store: Store) -> None:
    first, second = made(store, expires=2000.0), made(store)
    assert store.revoke(second.id, 1500.0)
    assert store.revoke(second.id, 1800.0)
    assert not store.revoke("nobody", 1500.0)
    entries = {one.id: one for one in store.entries()}
    assert entries[first.id].is_valid(1999.9)
    assert not entries[first.id].is_valid(2000.0)
    assert entries[second.id].revoked == 1500.0
    assert not entries[second.id].is_valid(1000.0)


def test_a_rotated_key_and_its_successor_overlap(store: Store) -> None:
    old = made(store, 1000.0, 1000.0 + 90 * DAY_S)
    new = store.rotate(PEPPER, old.id, 1000.0 + DAY_S, DAY_S)
    entries = {one.id: one for one in store.entries()}
    assert entries[new.id].grants == entries[old.id].grants == GRANTS
    assert entries[old.id].expires == 1000.0 + 2 * DAY_S
    assert entries[new.id].expires == 1000.0 + 91 * DAY_S
    again = store.rotate(PEPPER, old.id, 1000.0 + DAY_S, 10 * DAY_S)
    ends = {one.id: one.expires for one in store.entries()}
    assert ends[old.id] == 1000.0 + 2 * DAY_S, "an overlap never makes a key live longer"
    store.revoke(again.id, 1000.0 + DAY_S)
    for worthless in (again.id, "nobody"):
        with pytest.raises(KeyError):
            store.rotate(PEPPER, worthless, 1000.0 + DAY_S, DAY_S)


def test_the_last_use_only_moves_on(store: Store) -> None:
    key = made(store)
    store.used([(key.id, 1500.0), ("nobody", 1.0)])
    store.used([(key.id, 1400.0)])
    assert store.entries()[0].last_used == 1500.0


def test_a_store_is_made_only_where_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no key store"):
        Store(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("owner", ["", "a\nb", "x" * 200])
def test_names_that_cannot_be_told_are_refused(store: Store, owner: str) -> None:
    with pytest.raises(ValueError, match="owner"):
        store.create(PEPPER, owner, "", GRANTS, 1.0, None)


def test_the_pepper_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    make_pepper(file)
    first = read_pepper(file)
    make_pepper(file)
    assert read_pepper(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    os.chmod(file, 0o644)
    with pytest.raises(ValueError, match="mode 0600"):
        read_pepper(file)
    file.write_bytes(b"short")
    os.chmod(file, 0o600)
    with pytest.raises(ValueError, match="at least 32 bytes"):
        read_pepper(file)
