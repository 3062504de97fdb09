"""The admin API on a listener of its own, with limits for bodies as large as models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette

from gateway.admin.app import Repository, app
from gateway.admin.door import Door
from gateway.admin.doorkeeper import Doorkeeper, read_token
from gateway.admin.models import Served
from gateway.admin.settings import AdminSettings
from gateway.admin.visitors import Visitors
from gateway.core.addresses import is_loopback
from gateway.hooks.manager import NO_HOOKS, Hooks
from gateway.pipeline.rights import Rights
from gateway.repository.archives import Limits
from gateway.repository.resumable import Resumable
from gateway.repository.uploads import Uploads
from gateway.wire.asgi import AsgiEndpoint
from gateway.wire.exchange import Endpoint, Head
from gateway.wire.listener import Listener
from gateway.wire.settings import WireSettings


class AdminFailed(Exception):
    """The admin API cannot be offered as configured: one line."""


class AdminService:
    """Whatever the path, the app answers."""

    def __init__(self, application: Starlette, max_archive_bytes: int) -> None:
        self._endpoint = AsgiEndpoint(application, max_archive_bytes)

    def route(self, head: Head) -> Endpoint:
        """See wire.exchange.Service."""
        return self._endpoint

    async def aclose(self) -> None:
        """Ends the requests under way; what they have staged is removed."""
        await self._endpoint.aclose()


class AdminListener:
    """Listens between `start` and `aclose`, where the settings name a repository for uploads.

    `insecure_dev` lets everybody in on loopback where there is no token; `fault` is as Uploads has it.
    """

    def __init__(
        self,
        settings: AdminSettings,
        wire: WireSettings,
        insecure_dev: bool,
        now: Callable[[], float],
        served: Served,
        fault: Callable[[Path], str] | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._hooks = hooks
        self._fault = fault
        self._settings = settings
        self._wire = wire.model_copy(
            update={
                "max_body_bytes": settings.max_archive_bytes,
                "body_timeout_s": settings.upload_timeout_s,
                "max_chunks": max(wire.max_chunks, settings.max_archive_bytes >> 12),
            }
        )
        self._is_open = insecure_dev and is_loopback(settings.host)
        self._now = now
        self._served = served
        self._running: tuple[Listener, AdminService] | None = None

    async def start(self) -> Mapping[str, int]:
        """The port by its name, none where it is off; raises AdminFailed."""
        settings = self._settings
        if settings.uploads is None:
            return {}
        try:
            door, repository = await asyncio.to_thread(self._open, settings.uploads)
            service = AdminService(app(door, repository, self._served), settings.max_archive_bytes)
            listener = Listener(service, self._wire, self._now)
            self._running = (listener, service)
            _, port = await listener.start(settings.host, settings.port)
        except OSError as error:
            raise AdminFailed(f"admin.port = {settings.port}: {error.strerror or error}") from None
        return {"admin": port}

    async def aclose(self) -> None:
        """Breaks off what is under way."""
        if self._running is not None:
            listener, service = self._running
            await listener.drain(0.0)
            await service.aclose()

    def _open(self, root: Path) -> tuple[Door, Repository]:
        """Reads the token, and removes what a killed gateway has left staged; blocks on the disk."""
        settings = self._settings
        try:
            token = read_token(settings.token_file) if settings.token_file is not None else ""
        except OSError as error:
            raise AdminFailed(f"admin.token_file cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise AdminFailed(str(error)) from None
        limits = Limits(settings.max_files, settings.max_version_bytes, settings.trusted_code)
        uploads = Uploads(root, limits, self._fault)
        uploads.remove_abandoned()
        resumable = Resumable(uploads, limits, settings.upload_keep_s, settings.max_uploads)
        resumable.expire()
        repository = Repository(uploads, resumable, settings.max_archive_bytes)
        return Door(self._visitors(Doorkeeper(token, is_open=self._is_open))), repository

    def _visitors(self, doorkeeper: Doorkeeper) -> Visitors:
        hooks = self._hooks
        return Visitors(doorkeeper, hooks.get("authenticate"), Rights(hooks.get("authorize")))
