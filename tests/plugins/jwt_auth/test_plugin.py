"""Callers with tokens: who they are, what is remembered of them, and what ends that."""

from __future__ import annotations

import asyncio
import inspect
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.core.caller import Credentials, Operation, Principal
from gateway.core.errors import Unauthenticated
from gateway.testing import Bench, ManualClock
from gateway_plugins.jwt_auth.plugin import Jwt
from gateway_plugins.jwt_auth.settings import JwtSettings
from tests.fakes.plugins import start
from tests.plugins.jwt_auth.issuer import DOCUMENT, NAME, NOW, OTHER_RSA, claims, token


class World:
    def __init__(self, folder: Path, **more: Any) -> None:
        (folder / "keys.json").write_bytes(DOCUMENT)
        self.clock, self.wall = ManualClock(), ManualClock(NOW)
        told = {
            "issuer": NAME,
            "audiences": ["gateway"],
            "jwks_file": str(folder / "keys.json"),
            "tenant_claim": "org",
            "grants": ["infer:echo"],
            "rights": [{"claim": "groups", "value": "ops-*", "grants": ["load:*"]}],
            **more,
        }
        settings = JwtSettings.model_validate({"issuers": [told]})
        self.plugin = Jwt(settings, start(clock=self.clock)._replace(wall=self.wall))

    def ask(self, text: str) -> Any:
        header = ((b"authorization", f"Bearer {text}".encode()),)
        return self.plugin.authenticate(Credentials(header))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_who_it_is_and_what_they_may(world: World) -> None:
    plain = world.ask(token(said=claims(org="shop")))
    assert (plain.id, plain.tenant, plain.method) == ("anna", "shop", "jwt")
    assert plain.recheck_at == world.clock() + 5
    assert plain.is_granted(Operation.INFER, "echo")
    assert not plain.is_granted(Operation.LOAD, "echo")
    for groups in ("ops-eu", ["dev", "ops-us"]):
        assert world.ask(token(said=claims(groups=groups))).is_granted(Operation.LOAD, "echo")
    assert not world.ask(token(said=claims(groups=["dev", 5, None]))).is_granted(Operation.LOAD, "echo")


@pytest.mark.parametrize("text", ["", "gw_abc", "a.b", token(said=claims(iss="https://other.test"))])
def test_what_is_none_of_ours_is_left_to_others(world: World, text: str) -> None:
    assert world.ask(text) is None
    assert world.plugin.authenticate(Credentials(())) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (token(OTHER_RSA), "signature"),
        (token(said=claims(sub=None)), "principal"),
        (token(said=claims(sub="a\nb")), "principal"),
        (token(said=claims(sub=5)), "principal"),
        (token(said=claims(org=["a"])), "principal"),
    ],
)
def test_refusals_have_one_text_and_are_counted_by_a_word(
    world: World, text: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="the bearer token is not valid"):
            world.ask(text)
    assert world.plugin.refusals == {word: 2}
    assert text not in caplog.text


def test_a_token_is_remembered_until_it_ends(world: World) -> None:
    text = token(said=claims(exp=NOW + 10))
    world.wall.advance(7)
    assert world.ask(text).recheck_at == world.clock() + 3
    world.wall.advance(32)
    assert world.ask(text) is not None
    world.wall.advance(1)
    with pytest.raises(Unauthenticated):
        world.ask(text)
    assert text.encode() not in str(vars(world.plugin)).encode()


def test_a_token_whose_key_was_taken_back_is_worthless(world: World) -> None:
    text = token()
    assert world.ask(text) is not None
    issuer = world.plugin._issuers[NAME]
    keys = dict(issuer.keys._keys)
    del keys["rsa"]
    issuer.keys.take(keys)
    issuer.keys._asked_at = world.clock()
    with pytest.raises(Unauthenticated):
        world.ask(text)


def test_a_key_that_is_not_known_is_waited_for_and_the_next_ones_are_not(world: World) -> None:
    first = world.ask(token(kid="new"))
    assert inspect.isawaitable(first)
    with pytest.raises(Unauthenticated):
        asyncio.run(awaited(first))
    with pytest.raises(Unauthenticated):
        world.ask(token(kid="newer"))


async def awaited(work: Any) -> Principal:
    return await work  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"jwks_url": "http://issuer.test/k", "jwks_file": None}, "must be https"),
        ({"jwks_url": "http://127.0.0.1/k", "jwks_file": None}, "must be https"),
        ({"jwks_url": "https://a:b@issuer.test/k", "jwks_file": None}, "must be https"),
        ({"jwks_file": None}, "one of jwks_url and jwks_file"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"audiences": []}, "audiences"),
        ({"grants": ["fly:a"]}, "operations are"),
        ({"leeway_s": 61}, "leeway_s"),
    ],
)
def test_settings_that_would_let_in_too_many_are_refused(
    tmp_path: Path, told: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        World(tmp_path, **told)


def test_http_is_for_this_machine_and_where_it_is_wanted(tmp_path: Path) -> None:
    World(tmp_path, jwks_url="http://127.0.0.1:1/k", jwks_file=None, allow_http_loopback=True)


def test_a_file_without_keys_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("{}")
    for name in ("none.json", "absent.json"):
        with pytest.raises(ValueError, match="jwks_file"):
            World(tmp_path, jwks_file=str(tmp_path / name))


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(world: World, protocol: str) -> None:
    async def codes() -> list[str]:
        async with Bench(world.plugin, clock=world.clock) as bench:
            return [
                (
                    await bench.infer(
                        "echo", {"x": [[1.0]]}, protocol=protocol, headers={"authorization": f"Bearer {one}"}
                    )
                ).code
                for one in (token(), token(OTHER_RSA), token(kid="new"), "gw_x")
            ]

    assert asyncio.run(codes()) == ["OK", "UNAUTHENTICATED", "UNAUTHENTICATED", "UNAUTHENTICATED"]
