"""What operators see of the models and have done to them: the same as callers may, by the same door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.control.questions import LoadModel, UnloadModel
from gateway.lifecycle.desk import Desk
from gateway.lifecycle.live_plugins import LivePlugins
from gateway.lifecycle.overview import ModelOverview, Overview


class Operated:
    """Loads and unloads are done in their model's turn, whoever asks for them."""

    def __init__(self, overview: Overview, desk: Desk, plugins: LivePlugins) -> None:
        self.plugins: Final = plugins
        self._overview = overview
        self._desk = desk

    def models(self) -> Sequence[ModelOverview]:
        """All models, by name."""
        return self._overview.models()

    async def load(self, name: str) -> None:
        """Returns once every served version is ready; raises GatewayError."""
        await self._desk.answer(LoadModel(name))

    async def unload(self, name: str, *, unload_dependents: bool) -> None:
        """Returns once no front routes to it; raises GatewayError."""
        await self._desk.answer(UnloadModel(name, unload_dependents))
