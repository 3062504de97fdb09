"""Versions as operators send them whole: as an archive; looked at, removed.

A version never changes, so a PUT needs no precondition: the same files again are no change, others are a
conflict. A DELETE needs If-Match.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admin.digests import sha256_of
from gateway.admin.door import Handler, model_of, unmet, version_of
from gateway.core.errors import InvalidInput, TooLarge
from gateway.repository.uploads import Uploads


class Versions:
    """Handlers; changes are one after the other by `turn`, so that If-Match means what it says."""

    def __init__(self, uploads: Uploads, max_archive_bytes: int, turn: asyncio.Lock) -> None:
        self._uploads = uploads
        self._max_archive_bytes = max_archive_bytes
        self._turn = turn

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of their operations."""
        return {"put_version": self._put, "get_version": self._get, "delete_version": self._delete}

    async def _put(self, request: Request) -> Response:
        model, version = model_of(request), version_of(request)
        promised = sha256_of(request.headers.get("content-digest", ""))
        folder = await asyncio.to_thread(self._uploads.new_folder)
        try:
            archive = folder / "archive"
            digest = await self._receive(request, archive)
            if promised not in {None, digest}:
                raise InvalidInput("the body is not what Content-Digest says: send it again")
            async with self._turn:
                is_new = await asyncio.to_thread(self._uploads.publish, folder, archive, model, version)
                return await self._shown(model, version, 201 if is_new else 200)
        finally:
            await asyncio.to_thread(self._uploads.discard, folder)

    async def _receive(self, request: Request, archive: Path) -> bytes:
        """Writes the body, and returns its SHA-256; raises TooLarge."""
        digest, size_bytes = hashlib.sha256(), 0
        with await asyncio.to_thread(open, archive, "xb") as file:
            async for part in request.stream():
                size_bytes += len(part)
                if size_bytes > self._max_archive_bytes:
                    raise TooLarge(f"an archive may have {self._max_archive_bytes} bytes")
                digest.update(part)
                await asyncio.to_thread(file.write, part)
        return digest.digest()

    async def _get(self, request: Request) -> Response:
        return await self._shown(model_of(request), version_of(request), 200)

    async def _delete(self, request: Request) -> Response:
        model, version = model_of(request), version_of(request)
        async with self._turn:
            stored = await asyncio.to_thread(self._uploads.look, model, version)
            if (refused := unmet(request, stored.tag)) is not None:
                return refused
            await asyncio.to_thread(self._uploads.remove, model, version)
        return Response(status_code=204)

    async def _shown(self, model: str, version: int, status: int) -> Response:
        return await shown(self._uploads, model, version, status)


async def shown(uploads: Uploads, model: str, version: int, status: int) -> Response:
    """The answer that shows a version, with its ETag."""
    stored = await asyncio.to_thread(uploads.look, model, version)
    files = [{"name": name, "size_bytes": size_bytes} for name, size_bytes in stored.files]
    body = {"model": model, "version": str(version), "files": files}
    return JSONResponse(body, status, headers={"etag": f'"{stored.tag}"'})
