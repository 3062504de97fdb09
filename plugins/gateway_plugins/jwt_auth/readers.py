"""Where the document with an issuer's keys is read from: a URL or a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import aiohttp

from gateway_plugins.outbound import ask, new_session

TIMEOUT_S = 10.0
MAX_BYTES = 256 << 10


class Reader(Protocol):
    """Used on one loop; `close` when it is read no more."""

    async def read(self) -> bytes:
        """The document; raises aiohttp.ClientError, OSError, TimeoutError or ValueError."""

    async def close(self) -> None:
        """Frees connections; harmless where there are none."""


class UrlReader:
    """Implements Reader. Where the keys are is configured: no redirect is followed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def read(self) -> bytes:
        """See Reader."""
        if self._session is None:
            self._session = new_session(TIMEOUT_S)
        return await ask(self._session, "GET", self._url, MAX_BYTES)

    async def close(self) -> None:
        """See Reader."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class FileReader:
    """Implements Reader."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def read(self) -> bytes:
        """See Reader; in a thread, for a disk may be slow."""
        return await asyncio.to_thread(self.read_now)

    def read_now(self) -> bytes:
        """The same, at once."""
        with self._file.open("rb") as file:
            document = file.read(MAX_BYTES + 1)
        if len(document) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        return document

    async def close(self) -> None:
        """See Reader."""
