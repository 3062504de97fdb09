"""Whose a valid token is, and what they may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.core.caller import Grant, Principal, checked_label, matches
from gateway.core.grants import parse_grant
from gateway_plugins.jwt_auth.settings import IssuerSettings
from gateway_plugins.jwt_auth.tokens import Reason, Refused

# RFC 8693, 4.2: words with spaces between. Other texts are one value, spaces and all.
_WORDS = frozenset({"scope", "scp"})


class Right(NamedTuple):
    """What a claim's value gives."""

    claim: str
    pattern: str
    grants: tuple[Grant, ...]


class Mapped(NamedTuple):
    """How an issuer's claims become a principal."""

    rules: IssuerSettings
    rights: tuple[Right, ...]
    grants: tuple[Grant, ...]


def mapped(rules: IssuerSettings) -> Mapped:
    """Raises ValueError naming the key at fault."""
    if rules.principal_prefix:
        checked_label("principal_prefix", f"{rules.principal_prefix}x")
    rights = []
    for index, one in enumerate(rules.rights):
        rights.append(Right(one.claim, one.value, _grants(f"rights.{index}.grants", one.grants)))
    return Mapped(rules, tuple(rights), _grants("grants", rules.grants))


def principal_of(claims: Mapping[str, Any], how: Mapped, recheck_at: float) -> Principal:
    """Raises Refused where the claims name nobody, or somebody by a name that could forge a log line."""
    rules = how.rules
    id, tenant = _claim(claims, rules.principal_claim), ""
    if not isinstance(id, str) or not id:
        raise Refused(Reason.CLAIM)
    if rules.tenant_claim:
        tenant = _claim(claims, rules.tenant_claim)
        if not isinstance(tenant, str) or not tenant:
            raise Refused(Reason.CLAIM)
    try:
        return Principal(rules.principal_prefix + id, tenant, _given(claims, how), "jwt", recheck_at)
    except ValueError:
        raise Refused(Reason.CLAIM) from None


def _given(claims: Mapping[str, Any], how: Mapped) -> tuple[Grant, ...]:
    given = list(how.grants)
    for right in how.rights:
        if any(matches(right.pattern, one) for one in _values(claims, right.claim)):
            given.extend(right.grants)
    return tuple(given)


def _values(claims: Mapping[str, Any], name: str) -> Iterable[str]:
    """The texts that a claim holds: itself, its words, or the elements of a list."""
    value = _claim(claims, name)
    if isinstance(value, str):
        return value.split(" ") if name in _WORDS else [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, which may have dots in it, else the member that a path with dots leads to."""
    if name in claims or "." not in name:
        return claims.get(name)
    first, _, rest = name.partition(".")
    inner = claims.get(first)
    return _claim(inner, rest) if isinstance(inner, dict) else None


def _grants(key: str, texts: Iterable[str]) -> tuple[Grant, ...]:
    try:
        return tuple([parse_grant(one) for one in texts])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
