"""Limits of the V2 REST protocol."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RestSettings(BaseModel):
    """[frontends.rest] Limits of V2 over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_body_bytes: int = Field(
        default=256 << 20, ge=1 << 10, le=2 << 30, description="Largest body, as it travels and decompressed."
    )
    max_json_bytes: int = Field(
        default=64 << 20,
        ge=1 << 10,
        le=1 << 30,
        description="Largest JSON part of a request; tensors excluded.",
    )
    max_load_bytes: int = Field(
        default=64 << 20,
        ge=1 << 10,
        le=256 << 20,
        description="Largest body of a model load; its front pauses for about 7 ms a MiB.",
    )
    max_inflation: int = Field(
        default=200, ge=2, description="Most times its size that a compressed body above 4 MiB may grow to."
    )
    compress_min_bytes: int = Field(
        default=1 << 10,
        ge=0,
        description="Answers from this size on are compressed for callers that accept it.",
    )
    compress_max_bytes: int = Field(
        default=1 << 20,
        ge=0,
        description="Larger answers go as they are: 1 MiB takes 10 ms of the front's time.",
    )
