"""The admin API: where it listens, who may use it, and what it takes."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.addresses import is_loopback


class AdminSettings(BaseModel):
    """[admin] Versions that operators send; off where `uploads` is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uploads: Path | None = Field(
        None, description="The one of repository.paths that versions may be sent to; none switches it off."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback token_file is needed.")
    port: int = Field(8080, ge=0, le=65_535, description="The admin API; 0 picks a free one.")
    token_file: Path | None = Field(
        None, description="File with the token that operators send; read once, at the start."
    )
    trusted_code: bool = Field(
        False, description="Whether files that are code (Python, PyTorch, plans) are taken."
    )
    max_archive_bytes: int = Field(8 << 30, ge=1, le=1 << 50, description="Most bytes of an archive.")
    max_version_bytes: int = Field(32 << 30, ge=1, le=1 << 50, description="Most bytes that unpack from it.")
    upload_timeout_s: float = Field(3600.0, gt=0, le=604_800, description="Time to receive an archive.")
    upload_keep_s: float = Field(
        86_400.0, gt=0, le=31_536_000, description="Time that an upload broken off can go on."
    )
    max_uploads: int = Field(64, ge=1, le=4096, description="Most such uploads at a time.")
    max_files: int = Field(1024, ge=1, le=4096, description="Most files of a version.")

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> AdminSettings:
        if not is_loopback(self.host) and self.token_file is None:
            raise ValueError(f"admin.host = {self.host}: beyond loopback admin.token_file must be set")
        return self
