"""[plugins.settings.jwt]"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# Asymmetric ones alone: with HS* whoever verifies can sign, and a public key passes for a secret.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RightSettings(_Section):
    """[[plugins.settings.jwt.issuers.rights]]"""

    claim: Text = Field(description="Whose value counts; `a.b` is also `b` in the object `a`.")
    value: Text = Field(
        description="A pattern for it, for one of a list, or for one word of a scope; * stands for any text."
    )
    grants: tuple[str, ...] = Field(min_length=1, description="What they may, such as infer,preview:fraud*.")


class IssuerSettings(_Section):
    """[[plugins.settings.jwt.issuers]]"""

    issuer: Text = Field(description="The claim `iss` of its tokens, to the letter.")
    audiences: tuple[Text, ...] = Field(
        min_length=1, description="A token's `aud` must name one of them: what this gateway is called there."
    )
    algorithms: frozenset[Algorithm] = Field(min_length=1, description="With which it signs.")
    jwks_url: str = Field("", description="Where its keys are, over https (or jwks_file).")
    jwks_file: Path | None = Field(None, description="A file with its keys, read anew every ttl_s.")
    typ: tuple[str, ...] = Field(
        ("JWT", "at+jwt", ""), min_length=1, description='Values of the header `typ`; "" is none at all.'
    )
    leeway_s: float = Field(30.0, ge=0, le=60, description="By how much its clock may differ from ours.")
    required_claims: tuple[Text, ...] = Field((), description="Claims that a token must have beside `exp`.")
    principal_claim: Text = Field("sub", description="The claim that says who calls.")
    principal_prefix: str = Field(
        "", max_length=64, description="Put before it; of several issuers each needs one of its own."
    )
    tenant_claim: str = Field(
        "", max_length=512, description="The claim with the tenant; a token must have it."
    )
    rights: tuple[RightSettings, ...] = Field((), description="What callers may because of their claims.")
    grants: tuple[str, ...] = Field((), description="What all callers of this issuer may.")

    @model_validator(mode="after")
    def _has_keys(self) -> IssuerSettings:
        if bool(self.jwks_url) == (self.jwks_file is not None):
            raise ValueError("give either jwks_url or jwks_file")
        return self


class JwtSettings(_Section):
    """[plugins.settings.jwt]"""

    issuers: tuple[IssuerSettings, ...] = Field(min_length=1, description="Whose tokens are believed.")
    allow_http_loopback: bool = Field(
        False, description="Whether jwks_url may be http:// on this machine, for development."
    )
    max_token_bytes: int = Field(8192, ge=256, le=8192, description="Longer tokens are refused unread.")
    ttl_s: float = Field(300.0, ge=1, le=86_400, description="Between looks at an issuer's keys.")
    stale_s: float = Field(
        14_400.0, ge=0, le=86_400, description="How long keys are believed while they cannot be read anew."
    )
    cached_tokens: int = Field(
        4096, ge=0, le=1_000_000, description="Valid tokens that need not be verified at each request."
    )
