"""The plugin `jwt`: who calls, by a bearer token that an identity provider has signed.

DESIGN: verifying a token costs 60 to 140 us, so those that were valid are remembered, by a hash, for a
secret needs not be kept: a look-up costs 2 to 3 us. One is forgotten with its issuer's key set and its `exp`;
what is revoked at the provider before that stays valid here until then, as with every JWT.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable
from hashlib import sha256
from itertools import combinations
from typing import NamedTuple

from gateway.core.caller import Credentials, Principal
from gateway.core.errors import Unauthenticated
from gateway.hooks import Start, hookimpl
from gateway_plugins.jwt_auth.callers import Mapped, mapped, principal_of
from gateway_plugins.jwt_auth.jwks import KeySource, ended
from gateway_plugins.jwt_auth.keys import KeySet
from gateway_plugins.jwt_auth.readers import FileReader, UrlReader
from gateway_plugins.jwt_auth.settings import IssuerSettings, JwtSettings
from gateway_plugins.jwt_auth.tokens import Reason, Refused, Token, parse_token
from gateway_plugins.jwt_auth.verification import valid_until, verify
from gateway_plugins.outbound import checked_url

log = logging.getLogger("gateway.plugins")

# A front asks again after that, so that a key set that is replaced is soon heard of.
RECHECK_S = 5.0


class Issuer(NamedTuple):
    """Whom a token may come from."""

    how: Mapped
    source: KeySource


class Known(NamedTuple):
    """A token that was valid: of whom, by which keys, and until when since 1970."""

    principal: Principal
    issuer: Issuer
    keys: KeySet
    until: float


class JwtAuth:
    """Authenticates callers by bearer tokens of OIDC identity providers."""

    Settings = JwtSettings

    def __init__(self, settings: JwtSettings, start: Start) -> None:
        _check_apart(settings.issuers)
        self._settings = settings
        self._clock = start.clock
        self._wall = start.wall
        self._issuers = {
            one.issuer: _issuer(f"issuers.{index}", one, settings, start)
            for index, one in enumerate(settings.issuers)
        }
        self._known: dict[bytes, Known] = {}
        # Refused tokens by Reason.
        self.refusals: Counter[str] = Counter()

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | Awaitable[Principal | None] | None:
        """Declines what is no JWT or of an unknown issuer; refuses what is not valid, with one text."""
        text = credentials.bearer()
        if text is None:
            return None
        digest = sha256(text.encode()).digest()
        if (known := self._known.get(digest)) is not None:
            if (principal := self._still(known, digest)) is not None:
                return principal
            del self._known[digest]
        try:
            token = parse_token(text, self._settings.max_token_bytes)
        except Refused as refused:
            if refused.reason is Reason.NO_JWT:
                return None
            raise self._refusal(refused) from None
        name = token.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        return None if issuer is None else self._judged(token, issuer, digest)

    @hookimpl
    async def on_start(self) -> None:
        """Begins to read the issuers' keys."""
        for one in self._issuers.values():
            one.source.start()

    @hookimpl
    async def on_stop(self) -> None:
        """Ends that."""
        for one in self._issuers.values():
            await one.source.stop()

    # ---- tokens ---------------------------------------------------------------------------------

    def _still(self, known: Known, digest: bytes) -> Principal | None:
        """The principal, if the token is still valid by the keys that it was verified with."""
        wall = self._wall()
        if known.issuer.source.current() is not known.keys or wall >= known.until:
            return None
        principal, now = known.principal, self._clock()
        if now >= principal.recheck_at:
            principal = Principal(
                principal.id, principal.tenant, principal.grants, "jwt", _recheck_at(now, wall, known.until)
            )
            self._known[digest] = known._replace(principal=principal)
        return principal

    def _judged(self, token: Token, issuer: Issuer, digest: bytes) -> Principal | Awaitable[Principal | None]:
        """At once, or later where the key that is missing may be a new one."""
        try:
            return self._verified(token, issuer, digest)
        except Refused as refused:
            if (
                refused.reason in {Reason.KEY, Reason.NO_KEYS}
                and (newer := issuer.source.newer()) is not None
            ):
                return self._judged_later(newer, token, issuer, digest)
            raise self._refusal(refused) from None

    async def _judged_later(
        self, newer: asyncio.Future[None], token: Token, issuer: Issuer, digest: bytes
    ) -> Principal:
        await ended(newer)
        try:
            return self._verified(token, issuer, digest)
        except Refused as refused:
            raise self._refusal(refused) from None

    def _verified(self, token: Token, issuer: Issuer, digest: bytes) -> Principal:
        """Raises Refused."""
        keys, wall, rules = issuer.source.current(), self._wall(), issuer.how.rules
        if keys is None:
            raise Refused(Reason.NO_KEYS)
        claims = verify(token, rules, keys, wall)
        until = valid_until(claims, rules)
        principal = principal_of(claims, issuer.how, _recheck_at(self._clock(), wall, until))
        self._remember(digest, Known(principal, issuer, keys, until))
        return principal

    def _remember(self, digest: bytes, known: Known) -> None:
        """In place of the one that was remembered first, where there is no more room."""
        limit = self._settings.cached_tokens
        while self._known and len(self._known) >= limit:
            del self._known[next(iter(self._known))]
        if limit:
            self._known[digest] = known

    def _refusal(self, refused: Refused) -> Unauthenticated:
        reason = refused.reason.value
        self.refusals[reason] += 1
        log.debug("jwt: a bearer token was refused: %s", reason)
        return Unauthenticated("the bearer token is not valid")


def _recheck_at(now: float, wall: float, until: float) -> float:
    """On the monotonic clock."""
    return now + min(RECHECK_S, until - wall)


def _check_apart(issuers: tuple[IssuerSettings, ...]) -> None:
    """Raises ValueError where one issuer could name the callers of another (RFC 8725, 3.8)."""
    for (_, one), (index, other) in combinations(enumerate(issuers), 2):
        if one.issuer == other.issuer:
            raise ValueError(f"issuers.{index}.issuer: is named twice")
        prefixes = one.principal_prefix, other.principal_prefix
        if prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0]):
            raise ValueError(
                f"issuers.{index}.principal_prefix: of several issuers each needs one that begins no other's,"
                " or one of them could name callers of another"
            )


def _issuer(key: str, rules: IssuerSettings, settings: JwtSettings, start: Start) -> Issuer:
    """Raises ValueError naming the key at fault."""
    try:
        how = mapped(rules)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if rules.jwks_file is not None:
        file = FileReader(rules.jwks_file)
        source = KeySource(rules.issuer, file, settings.ttl_s, settings.stale_s, start.clock)
        try:
            source.accept(file.read_now(), start.clock())
        except (OSError, ValueError) as error:
            raise ValueError(f"{key}.jwks_file: {error}") from None
        return Issuer(how, source)
    try:
        url = UrlReader(checked_url(rules.jwks_url, is_http_allowed=settings.allow_http_loopback))
    except ValueError as error:
        raise ValueError(f"{key}.jwks_url: {error}") from None
    return Issuer(how, KeySource(rules.issuer, url, settings.ttl_s, settings.stale_s, start.clock))
