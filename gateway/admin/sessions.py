"""Versions as operators send them file by file: an upload that is broken off goes on where it was.

POST a plan with every file's size and SHA-256; PATCH each file from the offset that GET shows (as tus and
the IETF's resumable uploads have it, by Upload-Offset); POST finish. One writer a file: a second one takes
over from the first, whose line may be dead without anybody's having been told.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import IO

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admin import documents
from gateway.admin.door import Handler, refusal, small_body
from gateway.admin.versions import shown
from gateway.admin.visitors import visitor_of
from gateway.core.caller import Operation
from gateway.core.errors import Conflict, InvalidInput, TooLarge
from gateway.core.model import check_name
from gateway.repository.resumable import Plan, Resumable, Session, WrongOffset
from gateway.repository.uploads import Uploads

MAX_PLAN_BYTES = 4 << 20


class Sessions:
    """Handlers of resumable uploads."""

    def __init__(self, resumable: Resumable, uploads: Uploads, turn: asyncio.Lock) -> None:
        self._resumable = resumable
        self._uploads = uploads
        self._turn = turn
        self._writing: dict[tuple[str, str], _Writer] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of their operations."""
        return {
            "begin_upload": self._begin,
            "get_upload": self._get,
            "send_file": self._send,
            "finish_upload": self._finish,
            "abandon_upload": self._abandon,
        }

    async def _begin(self, request: Request) -> Response:
        body = await small_body(request, MAX_PLAN_BYTES)
        try:
            told = documents.UploadPlan.model_validate_json(body)
        except ValidationError as error:
            raise InvalidInput(first_fault(error)) from None
        plan = msgspec.convert(told.model_dump(), Plan)
        await visitor_of(request).require(Operation.UPLOAD, check_name(plan.model))
        async with self._turn:
            session = await asyncio.to_thread(self._resumable.begin, plan)
        place = f"{request.url.path}/{session.id}"
        return JSONResponse(_document(session), 201, headers={"location": place})

    async def _get(self, request: Request) -> Response:
        return JSONResponse(_document(await self._session(request)))

    async def _session(self, request: Request) -> Session:
        """The one that the path names, where they may upload its model."""
        session = await asyncio.to_thread(self._resumable.look, request.path_params["upload"])
        await visitor_of(request).require(Operation.UPLOAD, session.plan.model)
        return session

    async def _send(self, request: Request) -> Response:
        key = (request.path_params["upload"], request.path_params["file"])
        offset = request.headers.get("upload-offset", "")
        if not (offset.isascii() and offset.isdigit() and len(offset) <= 19):
            raise InvalidInput("Upload-Offset is needed: the bytes that have come before these")
        await self._session(request)
        writer = _Writer()
        while (before := self._writing.get(key)) is not None:
            before.is_superseded.set()
            await before.has_ended.wait()
        self._writing[key] = writer
        try:
            came = await self._append(request, *key, int(offset), writer.is_superseded)
        except WrongOffset as wrong:
            headers = {"upload-offset": str(wrong.offset)}
            return refusal(409, wrong.reason.value, wrong.text, headers)
        finally:
            del self._writing[key]
            writer.has_ended.set()
        return Response(status_code=204, headers={"upload-offset": str(came)})

    async def _append(
        self, request: Request, session: str, name: str, offset: int, is_superseded: asyncio.Event
    ) -> int:
        """Writes what comes for as long as it does: what a broken connection has brought stays."""
        descriptor, left = await asyncio.to_thread(self._resumable.open, session, name, offset)
        # A buffered file, whose lock keeps its end until a write is over that nobody waits for any more: else
        # that could go on in whatever has the descriptor's number next.
        with os.fdopen(descriptor, "ab") as file:
            async for part in _until(is_superseded, request.stream()):
                if len(part) > left:
                    raise TooLarge("that is more than the plan has for this file")
                await asyncio.to_thread(_write, file, part)
                left -= len(part)
                offset += len(part)
        return offset

    async def _finish(self, request: Request) -> Response:
        upload = request.path_params["upload"]
        async with self._turn:
            plan = (await self._session(request)).plan
            if any(session == upload for session, _ in self._writing):
                raise Conflict("a file of it is being sent")
            is_new = await asyncio.to_thread(self._resumable.finish, upload)
            return await shown(self._uploads, plan.model, plan.version, 201 if is_new else 200)

    async def _abandon(self, request: Request) -> Response:
        await self._session(request)
        await asyncio.to_thread(self._resumable.abandon, request.path_params["upload"])
        return Response(status_code=204)


class _Writer:
    """Who sends a file now."""

    def __init__(self) -> None:
        self.is_superseded = asyncio.Event()
        self.has_ended = asyncio.Event()


async def _until(event: asyncio.Event, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`parts`, until `event`: then raises Conflict."""
    ended = asyncio.ensure_future(event.wait())
    try:
        while True:
            part = asyncio.ensure_future(anext(parts, None))
            await asyncio.wait({part, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not part.done():
                part.cancel()
                raise Conflict("another connection goes on with this file")
            data = part.result()
            if data is None:
                return
            yield data
    finally:
        ended.cancel()


def first_fault(error: ValidationError) -> str:
    """What is wrong with a document, in one line."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _document(session: Session) -> dict[str, object]:
    plan = session.plan
    files = [
        {"name": file.name, "size_bytes": file.size_bytes, "offset": offset}
        for file, offset in zip(plan.files, session.offsets, strict=True)
    ]
    state = "complete" if session.is_whole else "incomplete"
    return {"id": session.id, "model": plan.model, "version": plan.version, "state": state, "files": files}
