"""Where events go, some at a time: each raises OSError, TimeoutError or aiohttp.ClientError."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp

TIMEOUT_S = 10.0
_BATCH = {"content-type": "application/cloudevents-batch+json"}


class Sink(Protocol):
    """Takes events."""

    async def write(self, events: Sequence[dict[str, Any]]) -> None:
        """Returns when they are there."""

    async def aclose(self) -> None:
        """Takes no more."""


class FileSink:
    """Appends to a file, one event a line, in a thread."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def write(self, events: Sequence[dict[str, Any]]) -> None:
        """See Sink."""
        lines = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in events).encode()
        await asyncio.to_thread(self._append, lines)

    def _append(self, lines: bytes) -> None:
        with self._file.open("ab", buffering=0) as file:
            file.write(lines)

    async def aclose(self) -> None:
        """See Sink."""


class HttpSink:
    """Posts batches of CloudEvents to an address; anything but a 2xx is a failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def write(self, events: Sequence[dict[str, Any]]) -> None:
        """See Sink."""
        body = json.dumps(events).encode()
        async with self._session.post(self._url, data=body, headers=_BATCH, allow_redirects=False) as answer:
            if not 200 <= answer.status < 300:
                raise OSError(f"status {answer.status}")

    async def aclose(self) -> None:
        """See Sink."""
        await self._session.close()
