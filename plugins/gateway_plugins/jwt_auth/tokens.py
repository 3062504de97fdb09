"""What a token says, before anything of it is believed.

DESIGN: PyJWT reads a token leniently: of two members with one name the last counts, where other readers take
the first, and padding is taken that no signer writes. What is read here has one meaning and one spelling
alone, so no two parties can see different claims in it, and a token cannot be respelled past a list of
revoked ones. Rejected: PyJWT's `decode`, which also knows no limits; of PyJWT the algorithms are used.
"""

from __future__ import annotations

import binascii
import enum
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

# The signature may be empty here: such a token is one, and is refused.
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Reason(enum.Enum):
    """Why a token is refused; bounded, for a log and a counter: callers are told none of it."""

    NO_JWT = "no_jwt"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    DUPLICATE = "duplicate"
    HEADER = "header"
    TYPE = "type"
    ALGORITHM = "algorithm"
    NO_KEYS = "no_keys"
    KEY = "key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    EARLY = "early"
    CLAIM = "claim"


class Refused(Exception):
    """A token is not valid, or is none."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Token(NamedTuple):
    """The parts of a token; nothing of it is verified."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def parse_token(text: str, max_bytes: int) -> Token:
    """Raises Refused; NO_JWT for what is a credential of some other kind."""
    if not _SHAPE.fullmatch(text):
        raise Refused(Reason.NO_JWT)
    if len(text) > max_bytes:
        raise Refused(Reason.TOO_LARGE)
    signed, _, signature = text.rpartition(".")
    header, _, claims = signed.partition(".")
    try:
        read_header = read_object(_decoded(header))
    except ValueError:
        raise Refused(Reason.NO_JWT) from None
    try:
        return Token(read_header, read_object(_decoded(claims)), signed.encode(), _decoded(signature))
    except ValueError:
        raise Refused(Reason.MALFORMED) from None


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8; raises ValueError for all else, Refused(DUPLICATE) for a name given twice."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _decoded(segment: str) -> bytes:
    """Raises ValueError for anything but the one spelling of some bytes."""
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise ValueError("no base64url") from None
    if urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise ValueError("not the one spelling")
    return data


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused(Reason.DUPLICATE)
    return members


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
