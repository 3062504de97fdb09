"""Which processes there are, where they listen, and how they stop."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.addresses import is_loopback


class ServerSettings(BaseModel):
    """[server] Addresses, processes and shutdown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        "127.0.0.1", description="Address to listen on; beyond loopback callers must be authenticated."
    )
    http_port: int = Field(8000, ge=0, le=65_535, description="REST and gRPC; 0 picks a free one.")
    grpc_port: int = Field(8001, ge=0, le=65_535, description="REST and gRPC too, where Triton's are.")
    metrics_port: int = Field(8002, ge=0, le=65_535, description="Prometheus metrics.")
    metrics_host: str = Field(
        "", description="Where metrics are told, to everybody: host; loopback, where callers must be known."
    )
    fronts: int | Literal["auto"] = Field(
        1, description="Data-plane processes: 1 to 64, or auto for half the cores (at least one)."
    )
    pre_drain_s: float = Field(
        0.0, ge=0, le=600, description="Time not ready but still accepting, so that balancers look away."
    )
    drain_timeout_s: float = Field(20.0, ge=0, le=3600, description="Time for requests under way to finish.")
    insecure_dev: bool = Field(False, description="Serve without authentication, on any address.")
    behind_proxy: bool = Field(
        False, description="TLS ends at a proxy in front of this: beyond loopback, too, none is spoken here."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> ServerSettings:
        if isinstance(self.fronts, int) and not 1 <= self.fronts <= 64:
            raise ValueError(f"server.fronts = {self.fronts}: must be 1 to 64, or auto")
        fixed = [port for port in (self.http_port, self.grpc_port, self.metrics_port) if port]
        if len(set(fixed)) != len(fixed):
            raise ValueError("server.http_port, grpc_port and metrics_port must differ")
        return self

    def front_count(self, cores: int) -> int:
        """How many fronts: the number, or half the cores for "auto"."""
        return self.fronts if isinstance(self.fronts, int) else max(1, cores // 2)

    @property
    def metrics_address(self) -> str:
        """Where metrics listen: what they tell of models is not for strangers, unless that is wanted."""
        return self.metrics_host or (self.host if self.is_open else "127.0.0.1")

    @property
    def is_open(self) -> bool:
        """True where callers need not be known: on loopback, or because that was asked for."""
        return self.insecure_dev or is_loopback(self.host)
