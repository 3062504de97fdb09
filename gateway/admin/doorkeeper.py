"""Who may change what is served: whoever has the operator's token, or anybody where that was asked for."""

from __future__ import annotations

import hmac
from pathlib import Path

from gateway.core.addresses import is_loopback
from gateway.core.errors import Forbidden, Unauthenticated

MIN_TOKEN_CHARACTERS = 16
_SCHEME = "bearer "


class Doorkeeper:
    """`token` "" is none; `is_open` lets everybody in, and must be False beyond loopback."""

    def __init__(self, token: str, *, is_open: bool) -> None:
        self._token = token.encode()
        self._is_open = is_open

    def is_operator(self, authorization: str) -> bool:
        """True for the operator's token."""
        given = authorization[len(_SCHEME) :] if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
        return bool(self._token) and hmac.compare_digest(given.encode(), self._token)

    def check(self, authorization: str, host: str = "localhost") -> str:
        """Who it is, for the audit log; raises Unauthenticated or Forbidden.

        Must be called with the headers of those names, "" where there is none. Without a token `host` must
        be this machine: a page that a browser was sent by a name of its own may not change anything here.
        """
        if self._token:
            if self.is_operator(authorization):
                return "token"
            raise Unauthenticated("the operator's token is needed: 'Authorization: Bearer <token>'")
        if self._is_open and is_loopback(_without_port(host)):
            return "anybody"
        if self._is_open:
            raise Forbidden("without a token changes are taken under a name of this machine alone")
        raise Forbidden(
            "changes are off: they need admin.token_file, or --insecure-dev on a loopback address"
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def read_token(file: Path) -> str:
    """The token in `file`, without white space around it; raises OSError, or ValueError for one too weak."""
    token = file.read_text(encoding="ascii", errors="replace").strip()
    if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(
            f"admin.token_file must hold one token of at least {MIN_TOKEN_CHARACTERS} printable characters"
        )
    return token
