"""Documents with keys, from files; test_jwks reads them from a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway_plugins.jwt_auth.readers import MAX_BYTES, FileReader, UrlReader
from tests.fakes.upstream import HttpUpstream


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(b"a" * MAX_BYTES)
    assert asyncio.run(FileReader(file).read()) == b"a" * MAX_BYTES
    file.write_bytes(b"a" * (MAX_BYTES + 1))
    with pytest.raises(ValueError, match="more than"):
        FileReader(file).read_now()


def test_a_url_is_read_again_after_the_end() -> None:
    async def live() -> None:
        async with HttpUpstream().running() as upstream:
            upstream.say("/keys", b"{}")
            reader = UrlReader(f"{upstream.url}/keys")
            await reader.close()
            for _ in range(2):
                assert await reader.read() == b"{}"
                await reader.close()

    asyncio.run(live())
