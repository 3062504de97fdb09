"""Plugins as operators see and change them while they run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admin.door import Handler, small_body, unmet
from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.errors import InvalidInput

MAX_BODY_BYTES = 96 << 10


class Live(Protocol):
    """The plugins in use."""

    def overview(self) -> Sequence[Mapping[str, object]]:
        """All of them, in their order."""

    def document(self, name: str) -> tuple[Mapping[str, Any], str]:
        """One's settings and their tag; raises ModelNotFound."""

    async def ask(self, name: str, request: AdminRequest) -> AdminAnswer:
        """What one has of its own; raises GatewayError."""

    def change(self, name: str, document: Mapping[str, Any]) -> str:
        """Takes over whole new settings, everywhere; raises InvalidInput."""


class Plugins:
    """Handlers."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of their operations."""
        own = dict.fromkeys(("get_of_plugin", "post_to_plugin", "delete_of_plugin"), self._own)
        return {"list_plugins": self._list, "get_plugin": self._get, "put_plugin": self._put, **own}

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"plugins": list(self._live.overview())})

    async def _get(self, request: Request) -> Response:
        document, tag = self._live.document(request.path_params["plugin"])
        return JSONResponse(document, headers={"etag": f'"{tag}"'})

    async def _put(self, request: Request) -> Response:
        name, body = request.path_params["plugin"], await small_body(request, MAX_BODY_BYTES)
        _, before = self._live.document(name)
        if (refused := unmet(request, before)) is not None:
            return refused
        tag = self._live.change(name, _object(body))
        return JSONResponse(self._live.document(name)[0], headers={"etag": f'"{tag}"'})

    async def _own(self, request: Request) -> Response:
        body = await small_body(request, MAX_BODY_BYTES)
        named, by = request.path_params, request.state.visitor.name
        asked = AdminRequest(
            request.method, named["path"], dict(request.query_params), _json(body) if body else None, by
        )
        answer = await self._live.ask(named["plugin"], asked)
        return JSONResponse(answer.document, answer.status, headers={"cache-control": "no-store"})


def _object(body: bytes) -> Mapping[str, Any]:
    found = _json(body)
    if not isinstance(found, dict):
        raise InvalidInput("the body must be a JSON object")
    return found


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("the body must be JSON") from None
