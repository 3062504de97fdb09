"""Callers with tokens: who they are, for how long, and that nothing is let in by default."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.caller import Credentials, Operation, Principal
from gateway.core.errors import Unauthenticated
from gateway.testing import Bench, ManualClock, start
from gateway_plugins.jwt_auth.plugin import RECHECK_S, JwtAuth
from gateway_plugins.jwt_auth.settings import JwtSettings
from tests.fakes.tokens import AUDIENCE, ISSUER, NOW, claims, header, key_set, segment, signed, signer, token
from tests.fakes.upstream import HttpUpstream

ONE, TWO = signer("ES256", "k1"), signer("ES256", "k2")
TEXT = "the bearer token is not valid"


def issuer(**changes: Any) -> dict[str, Any]:
    plain = {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["ES256"], "grants": ["infer:echo"]}
    return {**plain, **changes}


class World:
    """A plugin with the keys of a file, or of `url`."""

    def __init__(self, url: str = "", file: Path | None = None, **settings: Any) -> None:
        self.clock, self.wall = ManualClock(1000.0), ManualClock(NOW)
        keys = {"jwks_url": url} if url else {"jwks_file": file}
        made = {"issuers": [issuer(**keys)], "allow_http_loopback": True, **settings}
        begin = start(clock=self.clock)._replace(wall=self.wall)
        self.plugin = JwtAuth(JwtSettings.model_validate(made), begin)

    def ask(self, text: str) -> Any:
        return self.plugin.authenticate(Credentials(((b"authorization", f"Bearer {text}".encode()),)))

    def principal(self, text: str) -> Principal:
        found = self.ask(text)
        assert isinstance(found, Principal)
        return found

    def refuses(self, text: str) -> str:
        """The reason that was counted."""
        before = dict(self.plugin.refusals)
        with pytest.raises(Unauthenticated) as caught:
            self.ask(text)
        assert caught.value.text == TEXT
        (reason,) = [name for name, n in self.plugin.refusals.items() if n != before.get(name, 0)]
        return reason

    def pass_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.wall.advance(seconds)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jwt") / "keys.json"
    path.write_bytes(key_set(ONE))
    return path


def test_whose_a_token_is(file: Path) -> None:
    world = World(file=file)
    found = world.principal(token())
    assert (found.id, found.method, found.recheck_at) == ("anna", "jwt", 1000.0 + RECHECK_S)
    assert found.is_granted(Operation.INFER, "echo")
    assert not found.is_granted(Operation.LOAD, "echo")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gw_abc_def",
        "opaque",
        "MTk4NjIy.Cl2FMQ.ZnCjm1XV",
        token(iss="https://elsewhere.example/"),
        token(iss=None),
        token(iss=["a"]),
        f" {token()[:-1]}\u00e9",
    ],
)
def test_what_is_not_for_it_is_left_to_others(file: Path, text: str) -> None:
    world = World(file=file)
    assert world.ask(text) is None
    assert not world.plugin.refusals


def test_other_headers_are_left_to_others(file: Path) -> None:
    plugin = World(file=file).plugin
    assert plugin.authenticate(Credentials(())) is None
    basic = (b"authorization", b"Basic " + token().encode())
    assert plugin.authenticate(Credentials((basic,))) is None
    twice = (b"authorization", b"Bearer " + token().encode())
    assert plugin.authenticate(Credentials((twice, twice))) is None


def test_all_refusals_have_one_text_and_a_reason_that_is_counted(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(file=file, max_token_bytes=1000)
    unsigned = f"{segment(header(ONE, alg='none'))}.{segment(claims())}."
    forged = signed(TWO, header(ONE), claims())
    cases = {
        "too_large": token(pad="x" * 1000),
        "malformed": f"{segment(header(ONE))}.{segment('7')}.",
        "duplicate": signed(ONE, header(ONE), f'{{"iss": "{ISSUER}", "iss": "x"}}'),
        "algorithm": unsigned,
        "signature": forged,
        "expired": token(exp=NOW - 60),
        "key": token(TWO),
        "claim": token(sub="a\nb"),
    }
    assert [world.refuses(text) for text in cases.values()] == list(cases)
    assert world.plugin.refusals.total() == len(cases)
    assert not any(text in caplog.text for text in cases.values())


# ---- tokens that are remembered ---------------------------------------------------------------------


def test_a_token_is_looked_at_once_and_asked_for_again_in_seconds(file: Path) -> None:
    world, text = World(file=file), token()
    first = world.principal(text)
    assert world.principal(text) is first
    world.pass_by(RECHECK_S)
    again = world.principal(text)
    assert (again.id, again.recheck_at) == ("anna", world.clock() + RECHECK_S)
    # The very grants: nobody has made them of the claims anew.
    assert again.grants is first.grants
    assert world.principal(text) is again


def test_a_remembered_token_ends_with_its_time(file: Path) -> None:
    world = World(file=file)
    text = token(exp=NOW + 12)  # and 30 s of leeway
    world.principal(text)
    world.pass_by(40)
    assert world.principal(text).recheck_at == pytest.approx(world.clock() + 2)
    world.pass_by(2)
    assert world.refuses(text) == "expired"


def test_remembered_tokens_are_bounded(file: Path) -> None:
    world = World(file=file, cached_tokens=3)
    for number in range(10):
        world.principal(token(jti=number))
    assert len(world.plugin._known) == 3
    none = World(file=file, cached_tokens=0)
    none.principal(token())
    assert not none.plugin._known


@given(st.data())
def test_any_change_of_one_byte_is_a_stranger_also_beside_a_remembered_token(
    file: Path, data: st.DataObject
) -> None:
    world, text = World(file=file), token()
    world.principal(text)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="latin-1").filter(lambda one: one != text[at]))
    value = b"Bearer " + (text[:at] + other + text[at + 1 :]).encode("latin-1")
    try:
        found = world.plugin.authenticate(Credentials(((b"authorization", value),)))
    except Unauthenticated:
        return
    assert found is None


# ---- keys from a provider ---------------------------------------------------------------------------


def run(live: Callable[[World, HttpUpstream], Awaitable[None]], **settings: Any) -> None:
    async def both() -> None:
        async with HttpUpstream().running() as upstream:
            upstream.say("/keys", key_set(ONE))
            world = World(f"{upstream.url}/keys", **settings)
            await world.plugin.on_start()
            try:
                await live(world, upstream)
            finally:
                await world.plugin.on_stop()

    asyncio.run(both())


async def refused(found: Any) -> None:
    with pytest.raises(Unauthenticated, match=TEXT):
        await found


def test_the_first_request_waits_for_the_keys_and_the_next_for_nothing() -> None:
    async def live(world: World, upstream: HttpUpstream) -> None:
        text = token()
        assert (await world.ask(text)).id == "anna"
        assert world.principal(text).id == "anna"
        assert len(upstream.asked) == 1

    run(live)


def test_keys_rotate() -> None:
    async def live(world: World, upstream: HttpUpstream) -> None:
        old, new = token(), token(TWO)
        await world.ask(old)
        assert world.refuses(new) == "key"  # too early for another fetch
        upstream.say("/keys", key_set(ONE, TWO))
        world.pass_by(30)
        assert (await world.ask(new)).id == "anna"
        world.principal(old)
        upstream.say("/keys", key_set(TWO))
        world.pass_by(30)
        await refused(world.ask(token(signer("ES256", "k3"))))
        # What was signed with the key that is gone is no longer remembered.
        assert world.refuses(old) == "key"
        world.principal(new)

    run(live)


def test_made_up_keys_are_one_fetch_in_thirty_seconds() -> None:
    async def live(world: World, upstream: HttpUpstream) -> None:
        await world.ask(token())
        fetches = []
        for seconds in (29.9, 0.2, 29.9, 0.2):
            world.pass_by(seconds)
            for number in range(50):
                try:
                    found = world.ask(signed(ONE, header(ONE, kid=f"made-up-{number}"), claims()))
                except Unauthenticated:
                    continue
                await refused(found)
            fetches.append(len(upstream.asked))
        assert fetches == [1, 2, 2, 3]

    run(live)


def test_other_refusals_fetch_nothing() -> None:
    async def live(world: World, upstream: HttpUpstream) -> None:
        await world.ask(token())
        world.pass_by(100)
        assert world.refuses(token(exp=1)) == "expired"
        assert world.refuses(signed(TWO, header(ONE), claims())) == "signature"
        assert world.refuses(f"{segment(header(ONE, alg='none'))}.{segment(claims())}.") == "algorithm"
        assert len(upstream.asked) == 1

    run(live)


def test_without_the_provider_known_keys_are_good_for_a_while_and_then_nobody_is_let_in() -> None:
    async def live(world: World, upstream: HttpUpstream) -> None:
        text = token(exp=NOW + 10_000)
        await world.ask(text)
        upstream.say("/keys", b"", status=503)
        world.pass_by(300 + 1000)
        world.principal(text)
        world.principal(token(exp=NOW + 10_000, jti=2))
        world.pass_by(1)
        await refused(world.ask(text))
        assert world.refuses(text) == "no_keys"
        upstream.say("/keys", key_set(ONE))
        world.pass_by(30)
        assert (await world.ask(text)).id == "anna"

    run(live, stale_s=1000)


def test_a_provider_that_is_silent_from_the_start_lets_nobody_in() -> None:
    async def live(world: World, upstream: HttpUpstream) -> None:
        upstream.hang("/keys")
        await refused(world.ask(token()))
        assert world.plugin.refusals == {"no_keys": 1}

    run(live)


# ---- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"issuers": [issuer(jwks_url="http://a.example/")]}, "issuers.0.jwks_url: must begin with https"),
        ({"issuers": [issuer(jwks_url="http://localhost/")]}, "issuers.0.jwks_url: must begin with https"),
        ({"issuers": [issuer(jwks_file="/nonexistent/keys")]}, "issuers.0.jwks_file"),
        ({"issuers": [issuer(jwks_file=__file__)]}, "issuers.0.jwks_file"),
        ({"issuers": [issuer(jwks_url="https://a/")] * 2}, "issuers.1.issuer: is named twice"),
        ({"issuers": [issuer(jwks_url="https://a/", grants=["x"])]}, "issuers.0: grants: grant 'x'"),
        (
            {
                "issuers": [
                    issuer(jwks_url="https://a/", principal_prefix="a:"),
                    issuer(jwks_url="https://a/", issuer="b"),
                ]
            },
            "issuers.1.principal_prefix",
        ),
        ({"issuers": [issuer()]}, "either jwks_url or jwks_file"),
        ({"issuers": [issuer(jwks_url="https://a/", jwks_file="/a")]}, "either jwks_url or jwks_file"),
        *(
            ({"issuers": [issuer(jwks_url="https://a/", algorithms=[name])]}, "algorithms")
            for name in ("none", "HS256", "ES256K", "RS1")
        ),
        ({"issuers": [issuer(jwks_url="https://a/", algorithms=[])]}, "algorithms"),
        ({"issuers": [issuer(jwks_url="https://a/", audiences=[])]}, "audiences"),
        ({"issuers": [issuer(jwks_url="https://a/", leeway_s=61)]}, "leeway_s"),
        ({"issuers": []}, "issuers"),
        ({"issuers": [issuer(jwks_url="https://a/")], "max_token_bytes": 8193}, "max_token_bytes"),
    ],
)
def test_settings_that_would_let_the_wrong_in_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        JwtAuth(JwtSettings.model_validate(settings), start())


def test_issuers_are_apart(file: Path) -> None:
    others = issuer(issuer="b", jwks_file=file, principal_prefix="b:")
    world = World(issuers=[issuer(jwks_file=file, principal_prefix="a:"), others])
    assert [world.principal(token(iss=one)).id for one in (ISSUER, "b")] == ["a:anna", "b:anna"]


# ---- in a gateway -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = {"good": token(), "old": token(exp=1), "foreign": token(iss="x"), "new": token(TWO)}

    async def codes() -> list[str]:
        async with HttpUpstream().running() as upstream:
            upstream.say("/keys", key_set(ONE))
            world = World(f"{upstream.url}/keys")
            async with Bench(world.plugin, clock=world.clock) as bench:
                found = []
                for text in ("", *texts.values()):
                    headers = {"authorization": f"Bearer {text}"} if text else {}
                    answer = await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol, headers=headers)
                    assert not any(one in f"{answer.text}{answer.headers}" for one in texts.values())
                    found.append(answer.code)
                assert not bench.failures
                return found

    assert asyncio.run(codes()) == ["UNAUTHENTICATED", "OK", *["UNAUTHENTICATED"] * 3]
    assert not any(one in caplog.text for one in texts.values())


def test_a_silent_provider_is_no_failure_of_the_plugin() -> None:
    """Else some tokens with made-up keys would have the plugin left alone, and nobody let in."""

    async def live() -> None:
        async with HttpUpstream().running() as upstream:
            upstream.say("/keys", key_set(ONE))
            world = World(f"{upstream.url}/keys")
            async with Bench(world.plugin, clock=world.clock) as bench:

                async def code(text: str) -> str:
                    headers = {"authorization": f"Bearer {text}"}
                    return (await bench.infer("echo", {"x": [[1.0]]}, headers=headers)).code

                assert await code(token()) == "OK"
                upstream.hang("/keys")
                world.pass_by(30)
                made_up = [signed(ONE, header(ONE, kid=f"x{n}"), claims()) for n in range(10)]
                codes = await asyncio.gather(*[code(text) for text in made_up])
                assert codes == ["UNAUTHENTICATED"] * 10
                assert await code(token()) == "OK"
                assert not bench.failures

    asyncio.run(live())
