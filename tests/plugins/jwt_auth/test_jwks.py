"""An issuer's keys: read once for all who wait, not too often, and believed for a while without it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from gateway.testing import ManualClock
from gateway_plugins.jwt_auth.jwks import LEAST_S, KeySource, ended
from gateway_plugins.jwt_auth.keys import KeySet
from gateway_plugins.jwt_auth.readers import MAX_BYTES, UrlReader
from tests.fakes.tokens import key_set, signer
from tests.fakes.upstream import HttpUpstream

TTL_S, STALE_S = 300.0, 1000.0
ONE, TWO = signer("ES256", "one"), signer("ES256", "two")


class World:
    """A provider that publishes ONE, and a source that has not begun to read it."""

    def __init__(self, upstream: HttpUpstream) -> None:
        self.upstream, self.clock = upstream, ManualClock()
        self.source = KeySource("us", UrlReader(f"{upstream.url}/keys"), TTL_S, STALE_S, self.clock)
        upstream.say("/keys", key_set(ONE))

    @property
    def fetches(self) -> int:
        return len(self.upstream.asked)

    @property
    def ids(self) -> list[str] | None:
        keys = self.source.current()
        return None if keys is None else [one.id for one in keys.keys]

    async def started(self) -> None:
        self.source.start()
        await self.fetched()

    async def fetched(self) -> bool:
        """Asks for newer keys; False where it is too early."""
        fetch = self.source.newer()
        if fetch is not None:
            await asyncio.wait_for(asyncio.shield(fetch), 5)
        return fetch is not None


def run(live: Callable[[World], Awaitable[None]]) -> None:
    async def both() -> None:
        async with HttpUpstream().running() as upstream:
            world = World(upstream)
            try:
                await live(world)
            finally:
                await world.source.stop()

    asyncio.run(both())


def test_it_knows_nothing_before_it_has_read() -> None:
    async def live(world: World) -> None:
        assert world.source.current() is None
        assert world.source.newer() is None
        await world.started()
        assert (world.ids, world.fetches) == (["one"], 1)

    run(live)


def test_a_new_key_is_found_when_it_is_asked_for() -> None:
    async def live(world: World) -> None:
        await world.started()
        world.upstream.say("/keys", key_set(ONE, TWO))
        world.clock.advance(LEAST_S)
        assert await world.fetched()
        assert world.ids == ["one", "two"]

    run(live)


def test_a_flood_of_unknown_keys_is_one_fetch_in_thirty_seconds() -> None:
    async def live(world: World) -> None:
        await world.started()
        fetches = []
        for seconds in (0.0, 15.0, 14.9, 0.2, 29.9, 0.2):
            world.clock.advance(seconds)
            await asyncio.gather(*[world.fetched() for _ in range(200)])
            fetches.append(world.fetches)
        assert fetches == [1, 1, 1, 2, 2, 3]

    run(live)


def test_the_same_document_is_the_same_set() -> None:
    async def live(world: World) -> None:
        await world.started()
        before = world.source.current()
        world.clock.advance(LEAST_S)
        await world.fetched()
        assert world.fetches == 2
        assert world.source.current() is before
        world.upstream.say("/keys", key_set(TWO))
        world.clock.advance(LEAST_S)
        await world.fetched()
        assert world.ids == ["two"]

    run(live)


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"", 503, {}),
        (key_set(TWO), 302, {"Location": "/other"}),
        (key_set(TWO) + b" " * MAX_BYTES, 200, {}),
        (b'{"keys": 5}', 200, {}),
        (b"<html>maintenance</html>", 200, {}),
        (b"\xff\xfe", 200, {}),
    ],
    ids=["down", "redirect", "too large", "no set", "no json", "no text"],
)
def test_a_provider_that_fails_is_outlived_for_a_while_and_told_of_once(
    body: bytes, status: int, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def live(world: World) -> None:
        await world.started()
        read_at = world.clock()
        world.upstream.say("/other", key_set(TWO))
        world.upstream.say("/keys", body, status=status, headers=headers)
        for _ in range(3):
            world.clock.advance(LEAST_S)
            await world.fetched()
        assert (world.fetches, world.ids) == (4, ["one"])
        world.clock.now = read_at + TTL_S + STALE_S
        assert world.ids == ["one"]
        world.clock.advance(0.1)
        assert world.ids is None
        world.upstream.say("/keys", key_set(TWO))
        await world.fetched()
        assert world.ids == ["two"]

    run(live)
    assert caplog.text.count("cannot be read") == caplog.text.count("can be read again") == 1
    assert "127.0.0.1" not in caplog.text


def test_a_set_without_keys_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    async def live(world: World) -> None:
        await world.started()
        world.upstream.say("/keys", {"keys": [{"kty": "oct", "k": "AA"}]})
        world.clock.advance(LEAST_S)
        await world.fetched()
        assert world.source.current() == KeySet((), 1)

    run(live)
    assert "of the 1 keys of 'us' none can be used" in caplog.text


def test_who_waits_is_not_kept_by_a_slow_provider_nor_ends_the_fetch() -> None:
    async def live(world: World) -> None:
        world.upstream.hang("/keys")
        world.source.start()
        fetch = world.source.newer()
        assert fetch is not None
        gone = asyncio.ensure_future(ended(fetch))
        await asyncio.sleep(0)
        gone.cancel()
        await ended(fetch)
        assert not fetch.done()
        assert world.source.newer() is fetch
        assert world.fetches == 1

    run(live)


@pytest.mark.parametrize("turns", [0, 1, 50])
def test_the_end_lets_go_of_who_waits(turns: int) -> None:
    async def live(world: World) -> None:
        world.upstream.hang("/keys")
        world.source.start()
        fetch = world.source.newer()
        assert fetch is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        await world.source.stop()
        assert fetch.done()
        assert world.source.newer() is None

    run(live)
