"""The Content-Digest field of RFC 9530, as far as it says SHA-256."""

from __future__ import annotations

import base64
import binascii
import re

from gateway.core.errors import InvalidInput

_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):")


def sha256_of(field: str) -> bytes | None:
    """The digest promised, None for an empty field; raises InvalidInput for one that cannot be checked."""
    if not field:
        return None
    found = dict[str, str]()
    for part in field.split(","):
        member = _MEMBER.fullmatch(part.strip())
        if member is None:
            raise InvalidInput("Content-Digest must be like sha-256=:<base64>:")
        found[member[1]] = member[2]
    if "sha-256" not in found:
        raise InvalidInput("Content-Digest is checked for sha-256 only")
    try:
        digest = base64.b64decode(found["sha-256"], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise InvalidInput("Content-Digest: sha-256 must be 32 bytes in base64")
    return digest
