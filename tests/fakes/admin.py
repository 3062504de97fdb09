"""The admin API on a folder, with what is served beside it a fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from gateway.admin.app import Repository, app
from gateway.admin.door import Door
from gateway.admin.doorkeeper import Doorkeeper
from gateway.admin.visitors import Visitors
from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.lifecycle.overview import ModelOverview
from gateway.repository.archives import Limits
from gateway.repository.resumable import Resumable
from gateway.repository.uploads import Uploads

TOKEN = "0123456789abcdef"


class FakeLive:
    """One plugin, `routing`, that takes all settings but empty ones."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {"rules": [1]}

    def overview(self) -> list[dict[str, object]]:
        return [{"name": "routing", "hooks": ["route"], "changeable": True}]

    def document(self, name: str) -> tuple[dict[str, Any], str]:
        if name != "routing":
            raise ModelNotFound(f"no plugin '{name}'")
        return self.now, f"tag-{len(self.now['rules'])}"

    def change(self, name: str, document: Mapping[str, Any]) -> str:
        if "rules" not in document:
            raise InvalidInput("rules are missing")
        self.now = dict(document)
        return self.document(name)[1]

    async def ask(self, name: str, request: AdminRequest) -> AdminAnswer:
        if name != "routing":
            raise ModelNotFound(f"no plugin '{name}'")
        return AdminAnswer(request._asdict(), 201 if request.method == "POST" else 200)


class FakeServed:
    """Serves what the test says; remembers what was asked of it."""

    def __init__(self, *models: ModelOverview) -> None:
        self.overview = models
        self.plugins = FakeLive()
        self.asked: list[tuple[str, object]] = []

    def models(self) -> Sequence[ModelOverview]:
        return self.overview

    async def load(self, name: str) -> None:
        if name not in {one.name for one in self.overview}:
            raise InvalidInput(f"failed to load '{name}', failed to poll from model repository")
        self.asked.append((name, "load"))

    async def unload(self, name: str, *, unload_dependents: bool) -> None:
        self.asked.append((name, unload_dependents))


def application(
    root: Path,
    doorkeeper: Doorkeeper | None = None,
    served: FakeServed | None = None,
    max_archive_bytes: int = 4096,
    max_uploads: int = 3,
    visitors: Visitors | None = None,
) -> Starlette:
    """As the controller makes it; an upload may have 8 files, 1 MiB in all, and go on for an hour."""
    limits = Limits(8, 1 << 20)
    uploads = Uploads(root, limits)
    repository = Repository(uploads, Resumable(uploads, limits, 3600.0, max_uploads), max_archive_bytes)
    door = Door(visitors or Visitors(doorkeeper or Doorkeeper(TOKEN, is_open=False)))
    return app(door, repository, served or FakeServed())
