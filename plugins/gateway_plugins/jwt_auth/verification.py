"""Whether a token is valid: RFC 8725 as a list of checks, each of which must pass. Pure.

The numbers are the sections of RFC 8725.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import jwt

from gateway_plugins.jwt_auth.keys import MAX_ID, KeySet
from gateway_plugins.jwt_auth.settings import Algorithm, IssuerSettings
from gateway_plugins.jwt_auth.tokens import Reason, Refused, Token

_ALGORITHMS: Final[Mapping[str, Any]] = {
    name: jwt.get_algorithm_by_name(name) for name in get_args(Algorithm)
}
# 3.10: keys come from where the settings say. A token that brings one of its own, or says where to fetch it,
# is none of an honest provider; and of extensions that must be understood (crit) there are none here.
_FORBIDDEN: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64"})
# The end of the year 9999: what is later is no time.
_END_OF_TIME_S: Final = 253_402_300_799


def verify(token: Token, rules: IssuerSettings, keys: KeySet, now: float) -> Mapping[str, Any]:
    """The claims, which can be believed; `now` is since 1970. Raises Refused, of KEY where none fits."""
    _check_header(token.header, rules)
    _check_signature(token, _algorithm(token.header, rules), keys)
    _check_claims(token.claims, rules)
    _check_times(token.claims, rules.leeway_s, now)
    return token.claims


def valid_until(claims: Mapping[str, Any], rules: IssuerSettings) -> float:
    """When `verify` begins to refuse for its age what it has let pass; seconds since 1970."""
    return _time(claims, "exp") + rules.leeway_s


def _algorithm(header: Mapping[str, Any], rules: IssuerSettings) -> str:
    """3.1, 3.2: one that the issuer is known to use."""
    name = header.get("alg")
    if not isinstance(name, str) or name not in rules.algorithms:
        raise Refused(Reason.ALGORITHM)
    return name


def _check_header(header: Mapping[str, Any], rules: IssuerSettings) -> None:
    """3.10, 3.11."""
    if not _FORBIDDEN.isdisjoint(header):
        raise Refused(Reason.HEADER)
    typ = header.get("typ", "")
    if not isinstance(typ, str) or _plain(typ) not in map(_plain, rules.typ):
        raise Refused(Reason.TYPE)


def _plain(typ: str) -> str:
    """RFC 7515 4.1.9: media types are compared in any case, and need not begin with `application/`."""
    return typ.lower().removeprefix("application/")


def _check_signature(token: Token, algorithm: str, keys: KeySet) -> None:
    """3.3, 3.10: `kid` only finds a key among those that are known, and the key fits the algorithm."""
    id = token.header.get("kid")
    if "kid" in token.header and not (isinstance(id, str) and 1 <= len(id) <= MAX_ID):
        raise Refused(Reason.HEADER)
    fitting = keys.fitting(id, algorithm)
    if not fitting:
        raise Refused(Reason.KEY)
    verifier = _ALGORITHMS[algorithm]
    if not any(verifier.verify(token.signed, key.public, token.signature) for key in fitting):
        raise Refused(Reason.SIGNATURE)


def _check_claims(claims: Mapping[str, Any], rules: IssuerSettings) -> None:
    """3.8, 3.9."""
    if claims.get("iss") != rules.issuer:
        raise Refused(Reason.ISSUER)
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in named) or not set(named) & set(rules.audiences):
        raise Refused(Reason.AUDIENCE)
    if any(claims.get(name) is None for name in rules.required_claims):
        raise Refused(Reason.CLAIM)


def _check_times(claims: Mapping[str, Any], leeway_s: float, now: float) -> None:
    """A token must end; that it begins may be left out."""
    if now >= _time(claims, "exp") + leeway_s:
        raise Refused(Reason.EXPIRED)
    for name in ("nbf", "iat"):
        if name in claims and _time(claims, name) > now + leeway_s:
            raise Refused(Reason.EARLY)


def _time(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate: a number that is a time; raises Refused where it is missing or anything else."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _END_OF_TIME_S:
        raise Refused(Reason.CLAIM)
    return float(value)
