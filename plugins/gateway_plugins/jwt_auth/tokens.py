"""What a token's text is: read strictly, so that nobody else can read it in another way.

DESIGN: PyJWT does the arithmetic of signatures and nothing else here. Its decoder takes the last of two
members of one name and base64 that others do not, and looks at what is wanted after what is offered; RFC
8725 (sections 2.4, 3.1, 3.10) is about such differences. What is left is small enough to be ours.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

# Headers that name a key other than by an identity of the issuer's: never followed, so never believed.
_FOREIGN_KEYS = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"})
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MAX_KID = 256


class Refused(Exception):
    """The token proves nothing; `word` is a bounded label of why, for counters, never for callers."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Token(NamedTuple):
    """A token in its parts, none of which is proven."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def key_id(self) -> str:
        """The kid, "" where there is none: nothing but a word to look up."""
        kid = self.header.get("kid", "")
        if not isinstance(kid, str) or len(kid) > _MAX_KID:
            raise Refused("kid")
        return kid


def has_shape(text: str) -> bool:
    """True for three parts of base64url."""
    return _SHAPE.fullmatch(text) is not None


def read_token(text: str, max_bytes: int) -> Token:
    """The token; raises Refused for anything that could be read in two ways."""
    if len(text) > max_bytes:
        raise Refused("size")
    if not has_shape(text):
        raise Refused("shape")
    first, second, third = text.split(".")
    header, claims = _object(first), _object(second)
    if _FOREIGN_KEYS & header.keys():
        raise Refused("foreign_key")
    if "crit" in header or "b64" in header or "zip" in header:
        raise Refused("crit")  # no extension is known here
    return Token(header, claims, f"{first}.{second}".encode(), _bytes(third))


def _object(part: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_bytes(part).decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise Refused("json") from None
    if not isinstance(found, dict):
        raise Refused("json")
    return found


def _bytes(part: str) -> bytes:
    """Unpadded base64url in its one canonical form."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise Refused("base64") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise Refused("base64")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("duplicate")
    return found


def _refused(constant: str) -> None:
    raise Refused("json")
