"""Which plugins are used, in which order, and with what settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PluginSettings(BaseModel):
    """[plugins] Nothing that is installed is used unless it is named here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: tuple[str, ...] = Field((), description="Plugins by their names, in the order of their calls.")
    optional: frozenset[str] = Field(
        frozenset(),
        description="Of those: the ones without which the gateway starts, too, if they fail to load.",
    )
    settings: Mapping[str, Mapping[str, Any]] = Field(
        {}, description="Of each plugin its own settings: [plugins.settings.<name>]."
    )
    block_limit_s: float = Field(
        0.5, ge=0.02, le=60, description="A plugin that blocks the event loop for longer is interrupted."
    )

    @model_validator(mode="after")
    def _names_fit(self) -> PluginSettings:
        if len(set(self.use)) != len(self.use):
            raise ValueError("plugins.use: a plugin is named twice")
        for key, named in (("optional", self.optional), ("settings", set(self.settings))):
            if stray := sorted(named - set(self.use)):
                raise ValueError(f"plugins.{key}: {', '.join(stray)} is not in plugins.use")
        return self
