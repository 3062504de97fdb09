"""What is kept of which requests, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_SECRET_WORDS = ("secret", "password", "token", "credential", "sas", "access_key", "account_key")


class ObjectStoreSettings(BaseModel):
    """[plugins.settings.payload_log.store] Where an object for each batch of events is put."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        pattern=r"^(s3|gs|az)://[^/@?#]+(/[^?#]*)?$",
        description="s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
    )
    options: Mapping[str, str] = Field(
        {},
        description="Of obstore, such as endpoint and region; credentials come from the provider's own "
        "environment variables and files, never from here.",
    )
    allow_http: bool = Field(False, description="Whether the store may be spoken to without TLS.")
    gather_s: float = Field(10.0, ge=0, le=3600, description="How long events are gathered for one object.")

    @field_validator("options")
    @classmethod
    def _no_secrets(cls, options: Mapping[str, str]) -> Mapping[str, str]:
        for key in options:
            if any(word in key.lower() for word in _SECRET_WORDS):
                raise ValueError(f"option '{key}' is a credential: the provider's own variables must give it")
        return options


class PayloadLogSettings(BaseModel):
    """[plugins.settings.payload_log]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Patterns of the models that are logged."
    )
    share: float = Field(0.01, gt=0, le=1, description="Of their requests; 1 is all of them.")
    inputs: bool = Field(True, description="Whether tensors that are sent are kept.")
    outputs: bool = Field(True, description="Whether tensors that are answered are kept.")
    redact: tuple[str, ...] = Field(
        (), description="Patterns of tensors and parameters of which only the name is."
    )
    max_elements: int = Field(
        1024, ge=0, le=1 << 20, description="Of a tensor; of longer ones the shape is kept."
    )
    file: Path | None = Field(None, description="A file: one event a line.")
    url: str = Field("", description="Or an address that takes batches of events (https, or http here).")
    store: ObjectStoreSettings | None = Field(None, description="Or an object store.")
    queue: int = Field(
        10_000, ge=1, le=1_000_000, description="Events that wait; more are dropped and counted."
    )

    @model_validator(mode="after")
    def _goes_somewhere(self) -> PayloadLogSettings:
        if bool(self.file) + bool(self.url) + bool(self.store) != 1:
            raise ValueError("one of file, url and store must be given")
        if self.url:
            parts = urlsplit(self.url)
            is_here = parts.hostname in {"localhost", "127.0.0.1", "::1"}
            if parts.username or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
                raise ValueError(f"url '{self.url}' must be https, or http on this machine")
        return self
