"""Who may change what is served: whoever has the operator's token, or anybody where that was asked for."""

from __future__ import annotations

import hmac
from pathlib import Path

from gateway.core.errors import Forbidden, Unauthenticated

MIN_TOKEN_CHARACTERS = 16
_SCHEME = "bearer "


class Doorkeeper:
    """`token` "" is none; `is_open` lets everybody in, and must be False beyond loopback."""

    def __init__(self, token: str, *, is_open: bool) -> None:
        self._token = token.encode()
        self._is_open = is_open

    def check(self, authorization: str) -> str:
        """Who it is, for the audit log; raises Unauthenticated or Forbidden.

        Must be called with the header of that name, "" where there is none.
        """
        if self._token:
            given = authorization[len(_SCHEME) :] if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
            if hmac.compare_digest(given.encode(), self._token):
                return "token"
            raise Unauthenticated("the operator's token is needed: 'Authorization: Bearer <token>'")
        if self._is_open:
            return "anybody"
        raise Forbidden(
            "changes are off: they need admin.token_file, or --insecure-dev on a loopback address"
        )


def read_token(file: Path) -> str:
    """The token in `file`, without white space around it; raises OSError, or ValueError for one too weak."""
    token = file.read_text(encoding="ascii", errors="replace").strip()
    if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(
            f"admin.token_file must hold one token of at least {MIN_TOKEN_CHARACTERS} printable characters"
        )
    return token
