"""Callers with keys: who they are, how soon a revoked key is worthless, and what happens with no store."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.core.caller import Credentials, Principal
from gateway.core.errors import Unauthenticated
from gateway.core.grants import parse_grant
from gateway.testing import Bench, ManualClock, start
from gateway_plugins.api_keys.keys import Key, new_key
from gateway_plugins.api_keys.plugin import USED_S, ApiKeys, ApiKeySettings
from gateway_plugins.api_keys.store import Store, make_pepper, read_pepper


class World:
    def __init__(self, folder: Path) -> None:
        self.file, self.pepper = folder / "keys.db", folder / "pepper"
        make_pepper(self.pepper)
        self.store = Store(self.file, create=True)
        self.clock, self.wall = ManualClock(1000.0), ManualClock(1_700_000_000.0)
        self.key = self.made("anna")
        self.settings = ApiKeySettings(file=self.file, pepper_file=self.pepper)
        self.plugin = ApiKeys(self.settings, start(clock=self.clock)._replace(wall=self.wall))

    def made(self, owner: str, expires: float | None = None, grant: str = "infer:echo") -> Key:
        pepper = read_pepper(self.pepper)
        return self.store.create(pepper, owner, "shop", [parse_grant(grant)], self.wall(), expires)

    def ask(self, key: Key | str, header: str = "x-api-key") -> Principal | None:
        text = key if isinstance(key, str) else key.text()
        return self.plugin.authenticate(Credentials(((header.encode(), text.encode()),)))

    def pass_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.wall.advance(seconds)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_by_either_header(world: World) -> None:
    for principal in (world.ask(world.key), world.ask(f"Bearer {world.key.text()}", "authorization")):
        assert principal is not None
        assert (principal.id, principal.tenant, principal.method) == ("anna", "shop", "api_key")
        assert principal.recheck_at == world.clock() + 2.0


@pytest.mark.parametrize("text", ["", "eyJhbGciOi.x.y", "sk_other"])
def test_what_is_no_key_is_left_to_others(world: World, text: str) -> None:
    assert world.ask(text) is None
    assert world.ask(f"Bearer {text}", "authorization") is None
    assert world.plugin.authenticate(Credentials(())) is None


def test_all_other_keys_are_refused_with_one_text(world: World) -> None:
    revoked, expired = world.made("bob"), world.made("bob", world.wall() + 5)
    world.store.revoke(revoked.id, world.wall())
    world.pass_by(6)
    world.plugin.look()
    wrong = (revoked, expired, new_key(), Key(world.key.id, "s" * 43), "gw_nonsense")
    texts = set()
    for key in wrong:
        with pytest.raises(Unauthenticated) as caught:
            world.ask(key)
        texts.add(caught.value.text)
    assert texts == {"unknown, expired or revoked API key"}


def test_a_key_that_is_made_or_revoked_meanwhile_is_seen_by_the_next_look(world: World) -> None:
    late = world.made("carl")
    with pytest.raises(Unauthenticated):
        world.ask(late)
    world.store.revoke(world.key.id, world.wall())
    assert world.ask(world.key) is not None
    world.plugin.look()
    assert world.ask(late) is not None
    with pytest.raises(Unauthenticated):
        world.ask(world.key)


def test_without_its_store_it_believes_for_a_while_and_then_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    away = world.file.with_suffix(".away")
    world.file.rename(away)
    for _ in range(10):
        world.pass_by(30)
        world.plugin.look()
    assert world.ask(world.key) is not None
    world.pass_by(3)
    with pytest.raises(Unauthenticated):
        world.ask(world.key)
    assert caplog.text.count("the key store cannot be read") == 1
    away.rename(world.file)
    world.plugin.look()
    assert world.ask(world.key) is not None


def test_the_last_use_is_written_now_and_then(world: World) -> None:
    world.ask(world.key)
    at = world.wall()
    world.plugin.look()
    assert world.store.entries()[0].last_used is None
    world.pass_by(USED_S)
    world.plugin.look()
    assert world.store.entries()[0].last_used == at


@pytest.mark.parametrize("missing", ["file", "pepper"])
def test_what_is_not_there_stops_the_start(world: World, missing: str) -> None:
    getattr(world, missing).unlink()
    with pytest.raises(ValueError, match="file, pepper_file"):
        ApiKeys(world.settings, start())


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(world: World, protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    other = world.made("dora", grant="load:*")
    world.plugin.look()

    async def codes() -> list[str]:
        async with Bench(world.plugin, clock=world.clock) as bench:
            asked: list[dict[str, Any]] = [
                {},
                {"headers": {"x-api-key": world.key.text()}},
                {"headers": {"x-api-key": other.text()}},
                {"headers": {"x-api-key": new_key().text()}},
            ]
            answers = [await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol, **one) for one in asked]
            assert all(world.key.secret not in f"{one.text}{one.headers}" for one in answers)
            return [one.code for one in answers]

    expected = {
        "rest": ["UNAUTHENTICATED", "OK", "FORBIDDEN", "UNAUTHENTICATED"],
        "grpc": ["UNAUTHENTICATED", "OK", "PERMISSION_DENIED", "UNAUTHENTICATED"],
    }
    assert asyncio.run(codes()) == expected[protocol]
    assert world.key.secret not in caplog.text
