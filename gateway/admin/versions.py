"""The admin API of versions: sent as an archive, looked at, removed; each change is told to the audit log.

PUT, GET and DELETE of /admin/v1/models/{model}/versions/{version}. A version never changes, so a PUT
needs no precondition: the same files again are no change, others are a conflict. A DELETE needs If-Match.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admin.digests import sha256_of
from gateway.admin.doorkeeper import Doorkeeper
from gateway.core.errors import GatewayError, InvalidInput, Reason, TooLarge
from gateway.core.model import check_name, parse_version
from gateway.repository.folder import FolderRefused
from gateway.repository.uploads import Uploads

log = logging.getLogger("gateway.admin")

PATH = "/admin/v1/models/{model}/versions/{version}"
_STATUS = {
    Reason.INVALID_INPUT: 400,
    Reason.UNAUTHENTICATED: 401,
    Reason.FORBIDDEN: 403,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.TOO_LARGE: 413,
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

Handler = Callable[[Request, str, int], Awaitable[Response]]


class Versions:
    """The app's routes; changes are one after the other, so that If-Match means what it says."""

    def __init__(self, uploads: Uploads, doorkeeper: Doorkeeper, max_archive_bytes: int) -> None:
        self._uploads = uploads
        self._doorkeeper = doorkeeper
        self._max_archive_bytes = max_archive_bytes
        self._turn = asyncio.Lock()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route(PATH, self._answer(self._put), methods=["PUT"], name="put_version"),
                Route(PATH, self._answer(self._get), methods=["GET"], name="get_version"),
                Route(PATH, self._answer(self._delete), methods=["DELETE"], name="delete_version"),
            ]
        )

    def _answer(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Checks the right first: who has none learns nothing of what there is."""

        async def answer(request: Request) -> Response:
            who, response = "nobody", Response(status_code=500)
            try:
                headers = request.headers
                who = self._doorkeeper.check(headers.get("authorization", ""), headers.get("host", ""))
                response = await handler(request, *_named(request))
            except GatewayError as error:
                response = _refusal(_STATUS.get(error.reason, 500), error.reason.value, error.text)
            except FolderRefused as error:
                response = _refusal(409, Reason.CONFLICT.value, error.text)
            except ClientDisconnect:
                response = Response(status_code=400)  # nobody reads it; the log does
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                response = _refusal(507, "STORAGE_FULL", "the repository's disk is full")
            finally:
                if request.method not in {"GET", "HEAD"}:
                    _tell(request, who, response.status_code)
            return response

        return answer

    async def _put(self, request: Request, model: str, version: int) -> Response:
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

    async def _get(self, request: Request, model: str, version: int) -> Response:
        return await self._shown(model, version, 200)

    async def _delete(self, request: Request, model: str, version: int) -> Response:
        condition = request.headers.get("if-match", "")
        if not condition:
            text = "If-Match is needed: the ETag that GET has shown"
            return _refusal(428, "PRECONDITION_REQUIRED", text)
        async with self._turn:
            stored = await asyncio.to_thread(self._uploads.look, model, version)
            if f'"{stored.tag}"' not in {one.strip() for one in condition.split(",")}:
                text = "the version is not what it was when its ETag was shown"
                return _refusal(412, "PRECONDITION_FAILED", text)
            await asyncio.to_thread(self._uploads.remove, model, version)
        return Response(status_code=204)

    async def _shown(self, model: str, version: int, status: int) -> Response:
        stored = await asyncio.to_thread(self._uploads.look, model, version)
        files = [{"name": name, "size_bytes": size_bytes} for name, size_bytes in stored.files]
        body = {"model": model, "version": str(version), "files": files}
        return JSONResponse(body, status, headers={"etag": f'"{stored.tag}"'})


def _named(request: Request) -> tuple[str, int]:
    model, version = request.path_params["model"], parse_version(request.path_params["version"])
    if not isinstance(version, int) or not version:
        raise InvalidInput("a version is named by its number here")
    return check_name(model), version


def _refusal(status: int, code: str, text: str) -> Response:
    return JSONResponse({"error": text, "code": code}, status)


def _tell(request: Request, who: str, status: int) -> None:
    """One line for each change that was asked for, done or not; names that are none are shortened."""
    model, version = (ascii(request.path_params[name])[1:-1][:128] for name in ("model", "version"))
    about = {"event": "audit", "action": request.method, "model": model, "version": version}
    log.info(
        "audit: %s %s/%s by %s: %d",
        *(request.method, model, version, who, status),
        extra={**about, "by": who, "status": status},
    )
