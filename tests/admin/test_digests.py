from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.digests import sha256_of
from gateway.core.errors import InvalidInput


@given(st.binary())
def test_what_is_promised_is_read(content: bytes) -> None:
    digest = hashlib.sha256(content).digest()
    field = f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert sha256_of(field) == sha256_of(f"sha-512=:AAAA:, {field}") == digest


def test_no_field_promises_nothing() -> None:
    assert sha256_of("") is None


@pytest.mark.parametrize(
    "field",
    [
        "x",
        "sha-256",
        "sha-256=abc",
        "sha-256=::",
        "sha-256=:AAAA:",
        "sha-256=:A:",
        "sha-512=:AAAA:",
        "md5=:AA==:",
    ],
)
def test_what_cannot_be_checked_is_refused(field: str) -> None:
    with pytest.raises(InvalidInput, match="Content-Digest"):
        sha256_of(field)


@given(st.text(max_size=60))
def test_noise_is_refused_or_is_a_digest(field: str) -> None:
    try:
        found = sha256_of(field)
    except InvalidInput:
        return
    assert found is None or len(found) == 32
