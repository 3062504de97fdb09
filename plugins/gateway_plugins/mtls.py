"""Callers by client certificates: [tls] client_ca says whose are let in, this says who they are."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import Credentials, Grant, Principal, checked_label, matches
from gateway.core.grants import parse_grant
from gateway.hooks import Start, hookimpl


class SubjectSettings(BaseModel):
    """[[plugins.settings.mtls.subjects]]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(description="A pattern for the certificate's common name; * stands for any text.")
    principal: str = Field("", description="Who that is; the common name, if left out.")
    tenant: str = Field("", description="To whom they belong.")
    grants: tuple[str, ...] = Field((), description="What they may, such as infer,preview:fraud*.")


class MtlsSettings(BaseModel):
    """[plugins.settings.mtls]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subjects: tuple[SubjectSettings, ...] = Field(
        min_length=1, description="The first that matches the common name counts."
    )


class _Subject(NamedTuple):
    pattern: str
    principal: str
    tenant: str
    grants: tuple[Grant, ...]


class Mtls:
    """Authenticates callers by their verified client certificates."""

    Settings = MtlsSettings

    def __init__(self, settings: MtlsSettings, start: Start) -> None:
        self._subjects = tuple([_subject(index, one) for index, one in enumerate(settings.subjects)])

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | None:
        """Declines where there is no certificate, or none that the settings name.

        The answer is good as long as the connection is: a certificate is shown once, at its beginning, and
        taking one back takes an end of the connections made with it.
        """
        subject = credentials.tls_subject
        if subject is None:
            return None
        for one in self._subjects:
            if matches(one.pattern, subject):
                return Principal(one.principal or subject, one.tenant, one.grants, "mtls", inf)
        return None


def _subject(index: int, settings: SubjectSettings) -> _Subject:
    """Raises ValueError naming the key at fault."""
    try:
        if settings.principal:
            checked_label("principal", settings.principal)
        if settings.tenant:
            checked_label("tenant", settings.tenant)
        grants = tuple([parse_grant(one) for one in settings.grants])
    except ValueError as error:
        raise ValueError(f"subjects.{index}: {error}") from None
    return _Subject(settings.subject, settings.principal, settings.tenant, grants)
