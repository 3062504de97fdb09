"""Whose tokens are believed, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.grants import parse_grant

# Nothing symmetric: whoever can check such a token could make one.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RightSettings(_Settings):
    """What a claim gives."""

    claim: str = Field(description="Its name; its value is a text, or a list of them.")
    value: str = Field(description="A pattern for one of them; * stands for any text.")
    grants: tuple[str, ...] = Field(min_length=1, description="Such as infer,preview:fraud*.")


class IssuerSettings(_Settings):
    """[[plugins.settings.jwt.issuers]]"""

    issuer: str = Field(min_length=1, description="The claim iss, exactly.")
    audiences: tuple[str, ...] = Field(min_length=1, description="The claim aud must name one of them.")
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256"), min_length=1, description="No others.")
    jwks_url: str = Field("", description="Where the keys are fetched from: https.")
    jwks_file: Path | None = Field(None, description="Or a file with them, read once.")
    allow_http_loopback: bool = Field(False, description="http for an address of this machine: for tests.")
    types: tuple[str, ...] = Field(("JWT", "at+jwt"), description="The header typ; without one is as JWT.")
    leeway_s: float = Field(30.0, ge=0, le=60, description="By how much clocks may differ.")
    required_claims: Mapping[str, str] = Field({}, description="Claims that must have these texts.")
    principal_claim: str = Field("sub", description="Who it is.")
    tenant_claim: str = Field("", description="To whom they belong; none, if left out.")
    grants: tuple[str, ...] = Field((), description="What each token of this issuer gives.")
    rights: tuple[RightSettings, ...] = Field((), description="What claims give beside that.")

    @model_validator(mode="after")
    def _keys_have_a_place(self) -> IssuerSettings:
        if bool(self.jwks_url) == bool(self.jwks_file):
            raise ValueError(f"issuer '{self.issuer}' must have one of jwks_url and jwks_file")
        if self.jwks_url:
            _check_url(self.jwks_url, http=self.allow_http_loopback)
        for text in (*self.grants, *(grant for right in self.rights for grant in right.grants)):
            parse_grant(text)
        return self


class JwtSettings(_Settings):
    """[plugins.settings.jwt]"""

    issuers: tuple[IssuerSettings, ...] = Field(min_length=1, description="Whose tokens are believed.")
    max_token_bytes: int = Field(8192, ge=256, le=65_536, description="Longer ones are refused unread.")
    refresh_s: float = Field(300.0, ge=1, le=86_400, description="Between looks at an issuer's keys.")
    stale_s: float = Field(
        14_400.0, ge=0, le=604_800, description="How long keys are believed whose issuer does not answer."
    )

    @model_validator(mode="after")
    def _are_different(self) -> JwtSettings:
        names = [one.issuer for one in self.issuers]
        if len(set(names)) != len(names):
            raise ValueError("two issuers have one name")
        return self


def _check_url(url: str, *, http: bool) -> None:
    """Raises ValueError for an address that keys must not come from."""
    parts: Any = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return
    if parts.scheme == "http" and http and _is_loopback(parts.hostname or ""):
        return
    raise ValueError(f"jwks_url '{url}': must be https (http on loopback with allow_http_loopback)")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
