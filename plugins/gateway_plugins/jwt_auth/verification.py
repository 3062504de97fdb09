"""A token held against one issuer: pure, with the keys and the time as arguments."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from jwt.algorithms import get_default_algorithms

from gateway_plugins.jwt_auth.key_sets import Key
from gateway_plugins.jwt_auth.settings import IssuerSettings
from gateway_plugins.jwt_auth.tokens import Refused, Token

_ALGORITHMS = get_default_algorithms()
_MAX_TIME_S = 1 << 40  # beyond the year 36,000 it is no time, and floats stay exact below


def verify(token: Token, issuer: IssuerSettings, key: Key, wall: float) -> float:
    """When the token ends, in seconds since 1970; raises Refused. Every check must pass (RFC 8725, 3.3)."""
    _check_header(token, issuer, key)
    _check_signature(token, key)
    return _check_claims(token.claims, issuer, wall)


def _check_header(token: Token, issuer: IssuerSettings, key: Key) -> None:
    algorithm = token.header.get("alg")
    # From our list and the key's own, whatever the token would like (3.1).
    if algorithm not in issuer.algorithms or algorithm not in key.algorithms:
        raise Refused("algorithm")
    kind = token.header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in {
        one.lower() for one in issuer.types
    }:
        raise Refused("type")


def _check_signature(token: Token, key: Key) -> None:
    algorithm = _ALGORITHMS[token.header["alg"]]
    if not algorithm.verify(token.signed, key.public, token.signature):
        raise Refused("signature")


def _check_claims(claims: Mapping[str, Any], issuer: IssuerSettings, wall: float) -> float:
    if claims.get("iss") != issuer.issuer:
        raise Refused("issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in issuer.audiences for one in audiences):
        raise Refused("audience")
    ends = _time(claims, "exp")
    if ends is None or wall >= ends + issuer.leeway_s:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and wall < begins - issuer.leeway_s:
            raise Refused("early")
    if any(claims.get(name) != text for name, text in issuer.required_claims.items()):
        raise Refused("claim")
    return ends


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate; None where there is none. Raises Refused for anything else."""
    value = claims.get(name)
    if value is None:
        if name in claims:
            raise Refused("time")
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("time")
    if not isfinite(value) or not 0 <= value <= _MAX_TIME_S:
        raise Refused("time")
    return float(value)
