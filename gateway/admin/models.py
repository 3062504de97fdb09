"""Models as operators see and change them: the list, load and unload, configuration, labels, removal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admin import documents
from gateway.admin.door import Handler, model_of, small_body, unmet
from gateway.admin.plugins import Live
from gateway.admin.sessions import first_fault
from gateway.admin.visitors import visitor_of
from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.lifecycle.overview import ModelOverview
from gateway.repository.editing import NOTHING, Editing
from gateway.repository.pbtxt import MAX_CONFIG_BYTES

MAX_BODY_BYTES = 64 << 10


class Served(Protocol):
    """What is served, and what can be done to it."""

    @property
    def plugins(self) -> Live:
        """The plugins in use."""

    def models(self) -> Sequence[ModelOverview]:
        """All models, by name."""

    async def load(self, name: str) -> None:
        """Returns once it is ready; raises GatewayError."""

    async def unload(self, name: str, *, unload_dependents: bool) -> None:
        """Returns once no front routes to it."""


class Models:
    """Handlers; `editing` is None where no repository takes changes."""

    def __init__(self, served: Served, editing: Editing, turn: asyncio.Lock) -> None:
        self._served = served
        self._editing = editing
        self._turn = turn

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of their operations."""
        return {
            "list_models": self._list,
            "get_model": self._get,
            "delete_model": self._delete,
            "load_model": self._load,
            "unload_model": self._unload,
            "get_config": self._get_config,
            "put_config": self._put_config,
            "get_labels": self._get_labels,
            "put_label": self._put_label,
            "delete_label": self._delete_label,
        }

    # ---- what is served --------------------------------------------------------------------------

    async def _list(self, request: Request) -> Response:
        visitor = visitor_of(request)
        seen = [one for one in self._served.models() if await visitor.sees(one.name)]
        return JSONResponse({"models": [msgspec.to_builtins(one) for one in seen]})

    async def _get(self, request: Request) -> Response:
        name = model_of(request)
        found = next((one for one in self._served.models() if one.name == name), None)
        if found is None:
            raise ModelNotFound(f"there is no model '{name}'")
        try:
            headers = {"etag": f'"{await asyncio.to_thread(self._editing.tag, name)}"'}
        except ModelNotFound:  # of a repository that takes no changes
            headers = {}
        return JSONResponse(msgspec.to_builtins(found), headers=headers)

    async def _load(self, request: Request) -> Response:
        await self._served.load(model_of(request))
        return Response(status_code=204)

    async def _unload(self, request: Request) -> Response:
        name, body = model_of(request), await small_body(request, MAX_BODY_BYTES)
        try:
            told = documents.Unload.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise InvalidInput(first_fault(error)) from None
        await self._served.unload(name, unload_dependents=told.unload_dependents)
        return Response(status_code=204)

    # ---- what lies in the repository ---------------------------------------------------------------

    async def _delete(self, request: Request) -> Response:
        name = model_of(request)
        async with self._turn:
            tag = await asyncio.to_thread(self._editing.tag, name)
            if (refused := unmet(request, tag)) is not None:
                return refused
            await asyncio.to_thread(self._editing.remove, name)
        return Response(status_code=204)

    async def _get_config(self, request: Request) -> Response:
        data, tag = await asyncio.to_thread(self._editing.config, model_of(request))
        if tag == NOTHING:
            raise ModelNotFound("it has no config.pbtxt")
        return Response(data, media_type="text/plain", headers={"etag": f'"{tag}"'})

    async def _put_config(self, request: Request) -> Response:
        name, data = model_of(request), await small_body(request, MAX_CONFIG_BYTES)
        async with self._turn:
            before = await asyncio.to_thread(self._tag_of_config, name)
            if before != NOTHING and (refused := unmet(request, before)) is not None:
                return refused
            tag = await asyncio.to_thread(self._editing.put_config, name, data)
        return Response(status_code=200 if before else 201, headers={"etag": f'"{tag}"'})

    def _tag_of_config(self, name: str) -> str:
        try:
            return self._editing.config(name)[1]
        except ModelNotFound:
            return NOTHING

    async def _get_labels(self, request: Request) -> Response:
        return await self._labels(model_of(request))

    async def _put_label(self, request: Request) -> Response:
        name, body = model_of(request), await small_body(request, MAX_BODY_BYTES)
        try:
            target = documents.LabelTarget.model_validate_json(body)
        except ValidationError as error:
            raise InvalidInput(first_fault(error)) from None
        async with self._turn:
            _, tag = await asyncio.to_thread(self._editing.labels, name)
            # Without If-Match it is a statement of what is to be; with it, a change of what was seen.
            if "if-match" in request.headers and (refused := unmet(request, tag)) is not None:
                return refused
            label = request.path_params["label"]
            await asyncio.to_thread(self._editing.move_label, name, label, target.version)
        return await self._labels(name)

    async def _delete_label(self, request: Request) -> Response:
        name = model_of(request)
        async with self._turn:
            _, tag = await asyncio.to_thread(self._editing.labels, name)
            if (refused := unmet(request, tag)) is not None:
                return refused
            await asyncio.to_thread(self._editing.drop_label, name, request.path_params["label"])
        return Response(status_code=204)

    async def _labels(self, name: str) -> Response:
        labels, tag = await asyncio.to_thread(self._editing.labels, name)
        return JSONResponse({"labels": labels}, headers={"etag": f'"{tag}"'})
