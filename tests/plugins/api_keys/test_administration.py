"""Keys by the admin API: made once, shown once, worth nothing once revoked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.errors import InvalidInput, ModelNotFound, Overloaded, Unauthenticated
from tests.plugins.api_keys.test_plugin import World

BOB = {"owner": "bob", "tenant": "shop", "grants": ["infer:fraud*"], "expires_s": 60}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ask(world: World, method: str, path: str = "keys", body: Any = None) -> AdminAnswer:
    return asyncio.run(world.plugin.administer(AdminRequest(method, path, {}, body, "token")))


def states(world: World) -> dict[str, str]:
    return {one["owner"]: one["state"] for one in ask(world, "GET").document["keys"]}


def test_a_key_from_its_making_to_its_end(world: World) -> None:
    made = ask(world, "POST", body=BOB)
    assert made.status == 201
    world.plugin.look()
    principal = world.ask(made.document["key"])
    assert principal is not None
    assert (principal.id, principal.tenant) == ("bob", "shop")
    listed = ask(world, "GET")
    assert made.document["key"] not in repr(listed)
    assert "hash" not in repr(listed)
    assert states(world) == {"anna": "valid", "bob": "valid"}
    told = ask(world, "DELETE", f"keys/{made.document['id']}")
    assert told.document["state"] == "revoked"
    world.plugin.look()
    with pytest.raises(Unauthenticated):
        world.ask(made.document["key"])
    assert states(world)["bob"] == "revoked"


def test_a_key_that_has_expired_is_told_as_that(world: World) -> None:
    ask(world, "POST", body=BOB)
    world.wall.advance(61)
    assert states(world)["bob"] == "expired"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (None, "body"),
        ([], "body"),
        ({**BOB, "grants": []}, "grants"),
        ({**BOB, "grants": ["everything"]}, "everything"),
        ({**BOB, "owner": "a b\n"}, "owner"),
        ({**BOB, "expires_s": 0}, "expires_s"),
        ({**BOB, "hash": "x"}, "hash"),
    ],
)
def test_what_makes_no_key(world: World, body: Any, fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        ask(world, "POST", body=body)
    assert states(world) == {"anna": "valid"}


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "keys/nobody"), ("DELETE", "keys"), ("GET", "keys/x"), ("GET", "pepper")]
)
def test_what_is_not_there(world: World, method: str, path: str) -> None:
    with pytest.raises(ModelNotFound):
        ask(world, method, path)


def test_a_store_that_is_away(world: World) -> None:
    world.file.unlink()
    with pytest.raises(Overloaded, match="cannot be used now"):
        ask(world, "GET")
