"""Only `true` lets a caller in, whatever OPA says or does not say."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.caller import Credentials, Grant, Operation, Principal
from gateway.hooks import hookimpl
from gateway.testing import Bench, ManualClock, start
from gateway_plugins.opa import MAX_ANSWER_BYTES, TOKEN_S, Opa, OpaSettings
from tests.fakes.upstream import HttpUpstream

PATH = "/v1/data/gateway/allow"
ANNA = Principal("anna", "shop", [Grant(frozenset(Operation))], "jwt")


class World:
    def __init__(self, upstream: HttpUpstream, **settings: Any) -> None:
        self.upstream, self.clock = upstream, ManualClock()
        made = OpaSettings.model_validate({"url": upstream.url, "path": "gateway/allow", **settings})
        self.plugin = Opa(made, start(clock=self.clock))

    async def may(
        self, principal: Principal = ANNA, operation: Operation = Operation.INFER, model: str = "fraud"
    ) -> bool:
        found = self.plugin.authorize(principal, operation, model)
        return found if isinstance(found, bool) else await found


def run(live: Callable[[World], Awaitable[None]], **settings: Any) -> None:
    async def both() -> None:
        async with HttpUpstream().running() as upstream:
            world = World(upstream, **settings)
            await world.plugin.on_start()
            try:
                await live(world)
            finally:
                await world.plugin.on_stop()

    asyncio.run(both())


def test_what_is_asked() -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {"result": True})
        assert await world.may()
        (asked,) = world.upstream.asked
        whole = {
            "principal": "anna",
            "tenant": "shop",
            "method": "jwt",
            "operation": "infer",
            "model": "fraud",
        }
        assert json.loads(asked.body) == {"input": whole}
        assert asked.headers["Content-Type"] == "application/json"
        assert "Authorization" not in asked.headers

    run(live)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"result": True}, True),
        ({"result": {"allow": True, "why": "because"}}, True),
        ({"result": True, "decision_id": "1"}, True),
        ({"result": False}, False),
        ({}, False),
        ({"decision_id": "1"}, False),
        ({"result": None}, False),
        ({"result": 1}, False),
        ({"result": "true"}, False),
        ({"result": [True]}, False),
        ({"result": {}}, False),
        ({"result": {"allow": 1}}, False),
        ({"result": {"allow": "true"}}, False),
        ({"result": {"allow": {"allow": True}}}, False),
        ({"result": {"Allow": True}}, False),
        ({"allow": True}, False),
        ([{"result": True}], False),
        (True, False),
        (b"", False),
        (b"true", False),
        (b'{"result": true', False),
        (b'\xff{"result": true}', False),
        (b'{"result": ' + b"[" * 50_000, False),
        (b'{"result": true}' + b" " * MAX_ANSWER_BYTES, False),
    ],
    ids=range(24),
)
def test_true_alone_is_yes(document: Any, *, expected: bool) -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, document)
        assert await world.may() is expected

    run(live)


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 404, 500, 503])
def test_any_other_status_is_no(status: int) -> None:
    async def live(world: World) -> None:
        world.upstream.say("/other", {"result": True})
        body = b"" if status == 204 else {"result": True}
        world.upstream.say(PATH, body, status=status, headers={"Location": "/other"})
        assert await world.may() is False
        assert len(world.upstream.asked) == 1

    run(live)


def test_silence_is_no() -> None:
    async def live(world: World) -> None:
        world.upstream.hang(PATH)
        assert await world.may() is False

    run(live, timeout_s=0.05)


def test_before_the_start_and_after_the_end_it_is_no() -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {"result": True})
        await world.plugin.on_stop()
        assert await world.may() is False

    run(live)


# ---- decisions that are remembered ------------------------------------------------------------------


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_decision_is_good_for_some_seconds_and_given_at_once(*, is_allowed: bool) -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {"result": is_allowed})
        await world.may()
        world.upstream.say(PATH, {"result": not is_allowed})
        world.clock.advance(4.9)
        assert world.plugin.authorize(ANNA, Operation.INFER, "fraud") is is_allowed
        world.clock.advance(0.1)
        assert await world.may() is not is_allowed
        assert len(world.upstream.asked) == 2

    run(live)


def test_an_undefined_decision_is_remembered_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {})
        for model in ("a", "a", "b"):
            assert await world.may(model=model) is False
        assert len(world.upstream.asked) == 2

    run(live)
    assert caplog.text.count("undefined") == 1


@pytest.mark.parametrize(
    "other",
    [
        (Principal("bob", "shop", (), "jwt"), Operation.INFER, "fraud"),
        (Principal("anna", "bank", (), "jwt"), Operation.INFER, "fraud"),
        (Principal("anna", "shop", (), "mtls"), Operation.INFER, "fraud"),
        (ANNA, Operation.LOAD, "fraud"),
        (ANNA, Operation.INFER, "fraud2"),
        (ANNA, Operation.INFER, ""),
    ],
)
def test_a_decision_is_for_what_was_asked_alone(other: tuple[Principal, Operation, str]) -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {"result": True})
        assert await world.may()
        world.upstream.say(PATH, {"result": False})
        assert await world.may(*other) is False

    run(live)


def test_decisions_are_bounded_and_the_oldest_goes() -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {"result": True})
        for model in "abcd":
            await world.may(model=model)
        found = {model: world.plugin.authorize(ANNA, Operation.INFER, model) for model in "bcd"}
        assert found == dict.fromkeys("bcd", True)
        await world.may(model="a")
        assert len(world.upstream.asked) == 5

    run(live, cached_decisions=3)


def test_a_decision_that_was_renewed_is_not_the_oldest() -> None:
    async def live(world: World) -> None:
        world.upstream.say(PATH, {"result": True})
        for model in ("a", "b"):
            await world.may(model=model)
        world.clock.advance(5)
        for model in ("a", "c", "d"):
            await world.may(model=model)
        assert world.plugin.authorize(ANNA, Operation.INFER, "a") is True

    run(live, cached_decisions=3)


def test_an_outage_denies_is_told_of_once_and_is_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def live(world: World) -> None:
        for _ in range(2):
            world.upstream.say(PATH, {"result": True})
            assert await world.may()
            world.clock.advance(5)
            world.upstream.say(PATH, b"", status=500)
            for model in "abc":
                assert await world.may(model=model) is False
        world.upstream.say(PATH, {"result": True})
        assert await world.may()

    run(live)
    assert caplog.text.count("cannot be asked: it answered with status 500") == 2
    assert caplog.text.count("decides again") == 2
    assert "127.0.0.1" not in caplog.text


# ---- settings ---------------------------------------------------------------------------------------


def test_a_token_is_sent_and_read_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.write_text("first-secret\n")

    async def live(world: World) -> None:
        async def sent() -> str:
            world.clock.advance(TOKEN_S)
            await world.may()
            return world.upstream.asked[-1].headers["Authorization"]

        world.upstream.say(PATH, {"result": True})
        assert await sent() == "Bearer first-secret"
        file.write_text("second-secret")
        assert await sent() == "Bearer second-secret"
        file.write_text("two words of a secret")
        assert await sent() == "Bearer second-secret"
        file.unlink()
        assert await sent() == "Bearer second-secret"

    run(live, token_file=file)
    assert "secret" not in caplog.text
    assert "token_file: holds no token" in caplog.text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"url": "http://opa.example:8181"}, "url: must begin with https"),
        ({"url": "https://u:p@opa/"}, "url: must hold no user"),
        ({"token_file": "/nonexistent/token"}, "token_file: cannot be read"),
        ({"path": "/gateway/allow"}, "path"),
        ({"path": "gateway/../../config"}, "path"),
        ({"path": "gateway/allow?pretty"}, "path"),
        ({"timeout_s": 0.5}, "timeout_s"),
        ({"cache_s": 61}, "cache_s"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], text: str) -> None:
    made = {"url": "https://opa/", "path": "gateway/allow", **settings}
    with pytest.raises(ValueError, match=text):
        Opa(OpaSettings.model_validate(made), start())


# ---- in a gateway -----------------------------------------------------------------------------------


class Everybody:
    """Is one caller."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal:
        return self._principal


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("has_grants", [True, False])
def test_in_a_gateway_opa_decides_and_grants_do_not(protocol: str, *, has_grants: bool) -> None:
    principal = ANNA if has_grants else Principal("anna", "shop", (), "jwt")

    async def codes() -> list[str]:
        async with HttpUpstream().running() as upstream:
            world = World(upstream)
            async with Bench(Everybody(principal), world.plugin, clock=world.clock) as bench:
                found = []
                for document in ({"result": True}, {"result": False}, {}):
                    world.clock.advance(10)
                    upstream.say(PATH, document)
                    found.append((await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol)).code)
                assert not bench.failures
                return found

    forbidden = {"rest": "FORBIDDEN", "grpc": "PERMISSION_DENIED"}[protocol]
    assert asyncio.run(codes()) == ["OK", *[forbidden if has_grants else "NOT_FOUND"] * 2]


def test_an_outage_is_a_denial_and_no_failure_of_the_plugin() -> None:
    async def live() -> None:
        async with HttpUpstream().running() as upstream:
            world = World(upstream, timeout_s=0.05)
            upstream.hang(PATH)
            async with Bench(Everybody(ANNA), world.plugin, clock=world.clock) as bench:
                asked = [bench.infer("echo", {"x": [[1.0]]}) for _ in range(10)]
                assert {one.code for one in await asyncio.gather(*asked)} == {"FORBIDDEN"}
                assert not bench.failures

    asyncio.run(live())
