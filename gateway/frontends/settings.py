"""What the protocols tell of the server, and the sections of each."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.frontends.v2_rest.settings import RestSettings


class FrontendSettings(BaseModel):
    """[frontends] The protocols."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server_name: str = Field(
        default="model-gateway", min_length=1, max_length=128, description="Name in the server's metadata."
    )
    compat: Literal["none", "triton"] = Field(
        default="none",
        description='With "triton" the metadata name the server so, whatever server_name is.',
    )
    rest: RestSettings = RestSettings()
    grpc: GrpcSettings = GrpcSettings()

    @property
    def told_name(self) -> str:
        """What the metadata say."""
        return "triton" if self.compat == "triton" else self.server_name
