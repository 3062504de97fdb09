"""Keys as they change, when nobody knows them, and when their provider is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from gateway.testing import ManualClock
from gateway_plugins.jwt_auth.following import MAX_BYTES, UNKNOWN_S, Following, fetch
from tests.plugins.jwt_auth.issuer import DOCUMENT, NAME, OTHER_RSA, RSA, jwk, key_set

OTHER = key_set(jwk(OTHER_RSA, "rsa"))


class Provider:
    def __init__(self) -> None:
        self.document: bytes | Exception = DOCUMENT
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.document, Exception):
            raise self.document
        return self.document


def following(provider: Provider, clock: ManualClock) -> Following:
    return Following(NAME, provider, clock, refresh_s=300.0, stale_s=3600.0)


def test_many_who_wait_fetch_once() -> None:
    provider = Provider()

    async def run() -> None:
        keys = following(provider, ManualClock())
        await asyncio.gather(*(keys.refresh() for _ in range(10)))
        assert keys.key("rsa") is not None

    asyncio.run(run())
    assert provider.asked == 1


def test_names_that_are_made_up_are_asked_for_twice_a_minute() -> None:
    clock, provider = ManualClock(), Provider()

    async def run() -> None:
        keys = following(provider, clock)
        for _ in range(600):
            if keys.key("made up") is None and keys.may_ask:
                await keys.refresh()
            clock.advance(0.1)

    asyncio.run(run())
    assert provider.asked == 60 / UNKNOWN_S


@pytest.mark.parametrize("fault", [OSError(), TimeoutError(), ValueError(), aiohttp.ClientError()])
def test_keys_are_believed_while_their_provider_is_down_and_then_no_more(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    clock, provider = ManualClock(), Provider()

    async def run() -> None:
        keys = following(provider, clock)
        await keys.refresh()
        provider.document = fault
        clock.advance(3800)
        await keys.refresh()
        assert keys.key("rsa") is not None
        clock.advance(200)
        assert keys.key("rsa") is None
        provider.document = DOCUMENT
        await keys.refresh()
        assert keys.key("rsa") is not None

    asyncio.run(run())
    assert f"cannot be fetched: {type(fault).__name__}" in caplog.text


def test_a_generation_lasts_as_long_as_the_keys() -> None:
    provider = Provider()

    async def run() -> list[int]:
        keys = following(provider, ManualClock())
        generations = []
        for document in (DOCUMENT, DOCUMENT, OTHER, DOCUMENT):
            provider.document = document
            await keys.refresh()
            generations.append(keys.generation)
        return generations

    assert asyncio.run(run()) == [1, 1, 2, 3]


def test_a_set_of_one_key_gives_it_to_tokens_without_a_name() -> None:
    keys = following(Provider(), ManualClock())
    from gateway_plugins.jwt_auth.key_sets import read_key_set

    keys.take(read_key_set(key_set(jwk(RSA, "only"))))
    assert keys.key("") is not None
    keys.take(read_key_set(DOCUMENT))
    assert keys.key("") is None


@asynccontextmanager
async def server(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    finally:
        await runner.cleanup()


async def got(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> bytes:
    async with server(answer) as url, aiohttp.ClientSession() as session:
        return await fetch(session, url)


async def good(request: web.Request) -> web.Response:
    return web.Response(body=DOCUMENT)


async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("/other")


async def too_long(request: web.Request) -> web.Response:
    return web.Response(body=b" " * (MAX_BYTES + 1))


def test_documents_are_fetched_from_where_they_are_and_no_longer_than_may_be() -> None:
    assert asyncio.run(got(good)) == DOCUMENT
    with pytest.raises(ValueError, match="status 302"):
        asyncio.run(got(elsewhere))
    with pytest.raises(ValueError, match="too long"):
        asyncio.run(got(too_long))
