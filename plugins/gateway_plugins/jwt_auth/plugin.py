"""The plugin `jwt`: who calls, by a bearer token of an issuer that is believed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from gateway.core.caller import Credentials, Grant, Principal, matches
from gateway.core.errors import Unauthenticated
from gateway.core.grants import parse_grant
from gateway.hooks import Start, hookimpl
from gateway_plugins.jwt_auth.following import Following, fetch
from gateway_plugins.jwt_auth.key_sets import read_key_set
from gateway_plugins.jwt_auth.settings import IssuerSettings, JwtSettings
from gateway_plugins.jwt_auth.tokens import Refused, Token, has_shape, read_token
from gateway_plugins.jwt_auth.verification import verify

log = logging.getLogger("gateway.plugins")

# A token that was verified is looked at again after so long, be it only by its digest.
RECHECK_S = 5.0
_REMEMBERED = 10_000


class _Issuer(NamedTuple):
    settings: IssuerSettings
    keys: Following
    grants: tuple[Grant, ...]
    rights: tuple[tuple[str, str, tuple[Grant, ...]], ...]


class _Verified(NamedTuple):
    principal: tuple[str, str, tuple[Grant, ...]]
    ends: float
    generation: int
    issuer: str


class Jwt:
    """Authenticates callers by JSON Web Tokens of OpenID Connect issuers."""

    Settings = JwtSettings

    def __init__(self, settings: JwtSettings, start: Start) -> None:
        self._settings = settings
        self._start = start
        self._session: aiohttp.ClientSession | None = None
        self._issuers = {one.issuer: self._made(one) for one in settings.issuers}
        # By SHA-256 of the token: a token itself is kept nowhere.
        self._verified: dict[bytes, _Verified] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.refusals: Counter[str] = Counter()  # by the word of why

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal | Awaitable[Principal | None] | None:
        """Declines what is no token, or one of an issuer that is none of ours."""
        text = credentials.bearer()
        if text is None or not has_shape(text[: self._settings.max_token_bytes + 1]):
            return None
        digest = hashlib.sha256(text.encode("latin-1")).digest()
        known = self._remembered(digest)
        if known is not None:
            return known
        try:
            token = read_token(text, self._settings.max_token_bytes)
            issuer = self._issuers.get(str(token.claims.get("iss")))
            if issuer is None:
                return None
            if issuer.keys.key(token.key_id) is None and issuer.keys.may_ask:
                return self._later(digest, token, issuer)
            return self._checked(digest, token, issuer)
        except Refused as refused:
            raise self._refusal(refused) from None

    @hookimpl
    async def on_start(self) -> None:
        """Fetches the keys, and begins to look for others."""
        self._session = aiohttp.ClientSession()
        followed = [one for one in self._issuers.values() if one.settings.jwks_url]
        await asyncio.gather(*(one.keys.refresh() for one in followed))
        for one in followed:
            self._tasks.append(asyncio.create_task(one.keys.run(), name=f"jwks {one.settings.issuer}"))

    @hookimpl
    async def on_stop(self) -> None:
        """Ends that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    # ---- a token ---------------------------------------------------------------------------------

    async def _later(self, digest: bytes, token: Token, issuer: _Issuer) -> Principal:
        await issuer.keys.refresh()
        try:
            return self._checked(digest, token, issuer)
        except Refused as refused:
            raise self._refusal(refused) from None

    def _checked(self, digest: bytes, token: Token, issuer: _Issuer) -> Principal:
        key = issuer.keys.key(token.key_id)
        if key is None:
            raise Refused("unknown_key")
        ends = verify(token, issuer.settings, key, self._start.wall())
        who = _who(token, issuer)
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        name = issuer.settings.issuer
        self._verified[digest] = verified = _Verified(who, ends, issuer.keys.generation, name)
        return self._principal(verified)

    def _remembered(self, digest: bytes) -> Principal | None:
        """The principal of a token that was verified, while that is worth anything."""
        verified = self._verified.get(digest)
        if verified is None:
            return None
        issuer = self._issuers[verified.issuer]
        is_over = self._start.wall() >= verified.ends + issuer.settings.leeway_s
        if is_over or issuer.keys.generation != verified.generation:
            del self._verified[digest]
            return None
        return self._principal(verified)

    def _principal(self, verified: _Verified) -> Principal:
        identity, tenant, grants = verified.principal
        left_s = max(0.0, verified.ends - self._start.wall())
        return Principal(identity, tenant, grants, "jwt", self._start.clock() + min(RECHECK_S, left_s))

    def _refusal(self, refused: Refused) -> Unauthenticated:
        self.refusals[refused.word] += 1
        log.debug("a bearer token was refused: %s", refused.word)
        return Unauthenticated("the bearer token is not valid")

    # ---- at start --------------------------------------------------------------------------------

    def _made(self, settings: IssuerSettings) -> _Issuer:
        source = partial(self._fetched, settings.jwks_url)
        refresh_s, stale_s = self._settings.refresh_s, self._settings.stale_s
        if settings.jwks_file is not None:
            text = _read(settings.jwks_file)
            stale_s = float("inf")
            source = partial(_given, text)
        keys = Following(settings.issuer, source, self._start.clock, refresh_s, stale_s)
        if settings.jwks_file is not None:
            keys.take(read_key_set(text))
        rights = tuple([
            (one.claim, one.value, tuple([parse_grant(grant) for grant in one.grants]))
            for one in settings.rights
        ])
        return _Issuer(settings, keys, tuple([parse_grant(one) for one in settings.grants]), rights)

    async def _fetched(self, url: str) -> bytes:
        if self._session is None:
            raise OSError("not started")
        return await fetch(self._session, url)


async def _given(text: bytes) -> bytes:
    return text


def _read(file: Path) -> bytes:
    try:
        text = file.read_bytes()
        read_key_set(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"jwks_file: {error}") from error
    return text


def _who(token: Token, issuer: _Issuer) -> tuple[str, str, tuple[Grant, ...]]:
    """The principal's id, tenant and grants; raises Refused where the claims name nobody."""
    settings, claims = issuer.settings, token.claims
    identity = claims.get(settings.principal_claim)
    tenant = claims.get(settings.tenant_claim, "") if settings.tenant_claim else ""
    if not isinstance(identity, str) or not isinstance(tenant, str):
        raise Refused("principal")
    grants = list(issuer.grants)
    for claim, pattern, given in issuer.rights:
        if any(matches(pattern, text) for text in _texts(claims.get(claim))):
            grants += given
    try:
        Principal(identity, tenant)
    except ValueError:
        raise Refused("principal") from None
    return identity, tenant, tuple(grants)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]
