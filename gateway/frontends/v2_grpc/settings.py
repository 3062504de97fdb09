"""Limits of the V2 gRPC protocol."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GrpcSettings(BaseModel):
    """[frontends.grpc] Limits of V2 over gRPC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["native", "grpcio"] = Field(
        default="native",
        description="What serves server.grpc_port: native (REST too, there) or grpcio, the official server, "
        "slower by far, which keeps those of [wire] that it has, too; http_port stays native.",
    )
    max_message_bytes: int = Field(
        default=256 << 20,
        ge=1 << 10,
        le=2 << 30,
        description="Largest message, as it travels and decompressed.",
    )
    max_load_bytes: int = Field(
        default=64 << 20,
        ge=1 << 10,
        le=256 << 20,
        description="Largest message of a model load; its front pauses for about 3 ms a MiB.",
    )
    max_inflation: int = Field(
        default=200,
        ge=2,
        description="Most times its size that a compressed message above 4 MiB may grow to.",
    )
    compress_responses: bool = Field(
        default=False, description="Compress answers with gzip for callers that accept it."
    )
