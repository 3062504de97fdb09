"""Where plugins may ask, and what they read of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from gateway_plugins.outbound import ask, checked_url, new_session
from tests.fakes.upstream import HttpUpstream


@pytest.mark.parametrize("url", ["https://a.example/keys", "https://10.0.0.1:8443/", "https://[::1]/"])
def test_https_goes_anywhere(url: str) -> None:
    assert checked_url(url, is_http_allowed=False) == url


@pytest.mark.parametrize("host", ["localhost:8181", "127.0.0.1", "127.8.8.8:1", "[::1]:80"])
def test_http_stays_on_this_machine_where_it_is_allowed(host: str) -> None:
    url = f"http://{host}/x"
    assert checked_url(url, is_http_allowed=True) == url
    with pytest.raises(ValueError, match="https"):
        checked_url(url, is_http_allowed=False)


@pytest.mark.parametrize(
    "url",
    [
        *("", "a", "https://", "https:///x", "file:///etc/passwd", "ftp://a/", "//a/", "https:a"),
        *("http://a.example/", "http://10.0.0.1/", "http://169.254.169.254/", "http://localhost.evil/"),
        *("http://127.0.0.1.evil/", "http://[::ffff:10.0.0.1]/", "http://0x7f.1/", "http://2130706433/"),
        *("https://u:p@a/", "https://u@a/", "http://127.0.0.1@evil/", "https://a/#f", "https://a/ b"),
        *("https://a:99999/", "https://a:0/", "https://a\n/", "https://[::1/"),
    ],
)
def test_nothing_else_is_asked(url: str) -> None:
    with pytest.raises(ValueError):  # ruff: ignore[pytest-raises-too-broad] - some texts are urllib's
        checked_url(url, is_http_allowed=True)


def run(live: Callable[[HttpUpstream, Callable[..., Awaitable[bytes]]], Awaitable[None]]) -> None:
    async def both() -> None:
        async with HttpUpstream().running() as upstream, new_session(5.0) as session:

            async def get(**options: Any) -> bytes:
                return await ask(session, "GET", f"{upstream.url}/x", 1000, **options)

            await live(upstream, get)

    asyncio.run(both())


def test_the_limit_is_the_last_size_that_is_read() -> None:
    async def live(upstream: HttpUpstream, get: Callable[..., Awaitable[bytes]]) -> None:
        upstream.say("/x", b"a" * 1000)
        assert len(await get()) == 1000
        upstream.say("/x", b"a" * 1001)
        with pytest.raises(ValueError, match="more than 1000 bytes"):
            await get()

    run(live)


def test_a_body_of_unknown_length_is_not_read_past_the_limit() -> None:
    async def endless() -> web.StreamResponse:
        async def pieces() -> Any:
            while True:
                yield b"a" * 500

        return web.Response(body=pieces())

    async def live(upstream: HttpUpstream, get: Callable[..., Awaitable[bytes]]) -> None:
        upstream.answers["/x"] = endless
        with pytest.raises(ValueError, match="more than 1000 bytes"):
            await get()

    run(live)


@pytest.mark.parametrize(
    ("status", "headers", "text"),
    [
        (302, {"Location": "/y"}, "status 302"),
        (307, {"Location": "http://169.254.169.254/"}, "status 307"),
        (204, {}, "status 204"),
        (500, {}, "status 500"),
        (200, {"Content-Encoding": "gzip"}, "compressed"),
    ],
)
def test_only_a_plain_200_is_an_answer(status: int, headers: dict[str, str], text: str) -> None:
    async def live(upstream: HttpUpstream, get: Callable[..., Awaitable[bytes]]) -> None:
        upstream.say("/x", b"" if status == 204 else b"{}", status=status, headers=headers)
        upstream.say("/y", b"{}")
        with pytest.raises(ValueError, match=text):
            await get()
        assert [one.path for one in upstream.asked] == ["/x"]

    run(live)


def test_no_cookie_and_no_compression_is_asked_for() -> None:
    async def live(upstream: HttpUpstream, get: Callable[..., Awaitable[bytes]]) -> None:
        upstream.say("/x", b"{}", headers={"Set-Cookie": "a=b"})
        await get()
        await get(headers={"Authorization": "Bearer t"})
        first, second = [one.headers for one in upstream.asked]
        assert "Cookie" not in second
        assert (first["Accept-Encoding"], second["Authorization"]) == ("identity", "Bearer t")
        assert "Authorization" not in first

    run(live)
