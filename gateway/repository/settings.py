"""Where the models are, and how often that is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_SECRET_WORDS = ("secret", "password", "token", "access_key", "sas", "credential")


class StoreSettings(BaseModel):
    """[[repository.stores]] One object store with models in Triton's layout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        ...,
        pattern=r"[a-z0-9][a-z0-9_-]{0,31}",
        description="What logs and answers call it: no address is told.",
    )
    url: str = Field(
        ..., description="s3://bucket/prefix, gs://…, az://container/prefix, or https://host/path."
    )
    options: Mapping[str, str] = Field(
        default_factory=dict,
        description="Of obstore, such as endpoint and region; credentials come from the provider's own "
        "environment variables and files, never from here.",
    )
    allow_http: bool = Field(False, description="Whether the store may be spoken to without TLS.")
    poll_s: float = Field(30.0, gt=0, le=86_400, description="Seconds between looks at the store.")
    timeout_s: float = Field(30.0, gt=0, le=3600, description="Time that one request to the store may take.")
    trusted_code: bool = Field(
        False, description="Whether models that are code (Python, PyTorch) may be served from there."
    )

    @field_validator("options")
    @classmethod
    def _no_secrets(cls, options: Mapping[str, str]) -> Mapping[str, str]:
        for key in options:
            if any(word in key.lower() for word in _SECRET_WORDS):
                raise ValueError(
                    f"repository.stores: option '{key}' is a credential, which the provider's own"
                    " environment variables and files must give"
                )
        return options


class SignatureSettings(BaseModel):
    """[repository.signatures] Who must have signed the versions that are loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Literal["off", "warn", "require"] = Field(
        "off", description="Whether a version without a good signature (model.sig) is refused, or told of."
    )
    public_key: Path | None = Field(None, description="File of the elliptic curve key they are signed by.")
    certificates: tuple[Path, ...] = Field(
        (), description="Files of the certificates that the signer's own goes back to."
    )
    identity: str = Field("", description="Whose keyless signature by Sigstore it must be, with `issuer`.")
    issuer: str = Field("", description="The OpenID Connect issuer of that identity.")
    trust_config: Path | None = Field(
        None, description="File of the Sigstore instance to trust; by default the public one, which is asked."
    )

    @model_validator(mode="after")
    def _one_signer(self) -> SignatureSettings:
        if self.policy == "off":
            return self
        ways = [self.public_key is not None, bool(self.certificates), bool(self.identity or self.issuer)]
        if sum(ways) != 1 or bool(self.identity) != bool(self.issuer):
            raise ValueError(
                "repository.signatures: must name one of public_key, certificates, or identity and issuer"
            )
        for file in (self.public_key, *self.certificates, self.trust_config):
            if file is not None and not file.is_file():
                raise ValueError(f"repository.signatures: there is no file '{file}'")
        if any(find_spec(name) is None for name in ("model_signing", "OpenSSL")):
            raise ValueError(
                "repository.signatures: needs the extra 'signing' (pip install 'model-gateway[signing]')"
            )
        return self


class RepositorySettings(BaseModel):
    """[repository] The folders models come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: tuple[Path, ...] = Field(
        (Path("models"),),
        min_length=1,
        description="Folders in Triton's layout; a model's name may stand in one of them only.",
    )
    stores: tuple[StoreSettings, ...] = Field((), description="Object stores that models come from, too.")
    signatures: SignatureSettings = Field(
        default_factory=SignatureSettings, description="Who must have signed what is loaded."
    )
    cache: Path | None = Field(
        None, description="Folder for files of stores; needed where there are any, may be shared by gateways."
    )
    cache_max_bytes: int = Field(
        100 << 30, ge=1 << 20, description="Most that the cache may hold, but for versions in use."
    )
    poll_s: float = Field(
        2.0, ge=0, le=86_400, description="Seconds between looks at the folders; 0 looks once, at the start."
    )
    watch: bool = Field(
        True,
        description="Whether a look is at those models only of which the system has told that they changed "
        "(inotify), where it does.",
    )
    rescan_s: float = Field(
        60.0, gt=0, le=86_400, description="Seconds between looks at all models, whatever the system tells."
    )
    default_max_batch_size: int = Field(
        64,
        ge=1,
        le=65_536,
        description="Most rows in a batch of a model that can batch and whose config.pbtxt does not say.",
    )
    environments: Path | None = Field(
        None,
        description="Folder of prepared virtual environments, which a model in Python names by its "
        "parameter EXECUTION_ENV_PATH.",
    )

    @model_validator(mode="after")
    def _stores_need_a_cache(self) -> RepositorySettings:
        names = [store.name for store in self.stores]
        if names and self.cache is None:
            raise ValueError("repository.cache must be set where there are repository.stores")
        if len(set(names)) < len(names):
            raise ValueError("repository.stores: two of them have the same name")
        return self
