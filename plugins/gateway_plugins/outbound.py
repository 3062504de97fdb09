"""How plugins ask services over HTTP: where they may, and how much of an answer they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gateway.core.addresses import is_loopback

_CHUNK_BYTES = 16 << 10


def checked_url(url: str, *, is_http_allowed: bool) -> str:
    """`url`, which must be https, or http to this machine where that is allowed; raises ValueError."""
    parts = urlsplit(url)
    host = parts.hostname  # and not parts.port below: both raise ValueError for what is none
    if not host or parts.port == 0 or not url.isprintable() or " " in url:
        raise ValueError("must be a URL with a host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("must hold no user, no password and no fragment")
    if parts.scheme == "https" or (parts.scheme == "http" and is_http_allowed and is_loopback(host)):
        return url
    raise ValueError("must begin with https://; http:// goes to this machine alone, where that is allowed")


def new_session(timeout_s: float) -> aiohttp.ClientSession:
    """A session without cookies, proxies of the environment, and decompression; must be made on the loop."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "model-gateway"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    limit_bytes: int,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The body of a 200; follows no redirect.

    Raises aiohttp.ClientError, TimeoutError and OSError, and ValueError for any other answer than a 200 of
    at most `limit_bytes`.
    """
    async with session.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"it answered with status {response.status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("its answer is compressed, which was not asked for")
        return await _read(response, limit_bytes)


async def _read(response: Any, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = limit_bytes
    async for part in response.content.iter_chunked(_CHUNK_BYTES):
        left -= len(part)
        if left < 0:
            raise ValueError(f"its answer has more than {limit_bytes} bytes")
        parts.append(part)
    return b"".join(parts)
