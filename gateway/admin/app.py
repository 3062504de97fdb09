"""The admin API as one application: every operation of the table, each behind the door."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admin.door import Door, Handler
from gateway.admin.models import Models, Served
from gateway.admin.openapi import description
from gateway.admin.operations import BASE, OPERATIONS, RIGHTS
from gateway.admin.plugins import Plugins
from gateway.admin.sessions import Sessions
from gateway.admin.versions import Versions
from gateway.repository.editing import Editing
from gateway.repository.resumable import Resumable
from gateway.repository.uploads import Uploads


class Repository(NamedTuple):
    """What operators change, and how much they may send at once."""

    uploads: Uploads
    resumable: Resumable
    max_archive_bytes: int


def app(door: Door, repository: Repository, served: Served) -> Starlette:
    """Raises KeyError for an operation that nobody handles."""
    turn = asyncio.Lock()
    uploads = repository.uploads
    handlers: Mapping[str, Handler] = {
        **Models(served, Editing(uploads), turn).handlers(),
        **Versions(uploads, repository.max_archive_bytes, turn).handlers(),
        **Plugins(served.plugins).handlers(),
        **Sessions(repository.resumable, uploads, turn).handlers(),
        "describe": _describe,
    }
    routes = [
        Route(
            BASE + one.path,
            door.behind(handlers[one.name], RIGHTS.get(one.name)),
            methods=[one.method],
            name=one.name,
        )
        for one in OPERATIONS
    ]
    return Starlette(routes=routes)


async def _describe(request: Request) -> Response:
    return JSONResponse(description())
