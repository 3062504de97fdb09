"""The keys of one issuer as they are now.

DESIGN: keys are fetched in the background, so that nobody waits for a provider but whoever brings a key's
name that has not been heard of; and for such names nobody asks more than once in half a minute, however
many are made up. A provider that is down costs nothing for hours: its last keys are believed until then,
and nobody afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf

import aiohttp

from gateway.core.clock import Clock
from gateway_plugins.jwt_auth.key_sets import Key, KeySet, read_key_set

log = logging.getLogger("gateway.plugins")

MAX_BYTES = 256 << 10
TIMEOUT_S = 10.0
# Between fetches for the sake of names that are not known.
UNKNOWN_S = 30.0

# Gives the document's text; raises OSError, ValueError, TimeoutError or aiohttp.ClientError.
Fetch = Callable[[], Awaitable[bytes]]


class Following:
    """Invariant: `_keys` are those of the last fetch that went well, at `_fetched_at`."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock, refresh_s: float, stale_s: float) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._refresh_s = refresh_s
        self._stale_s = stale_s
        self._keys: KeySet = {}
        self._fetched_at = -inf
        self._asked_at = -inf
        self._turn = asyncio.Lock()
        self._rounds = 0  # fetches that have ended, well or not
        self.generation = 0  # another one whenever the keys have changed

    def key(self, identity: str) -> Key | None:
        """The key of that name; a set of one key gives it to a token that names none."""
        if self._clock() - self._fetched_at > self._stale_s + self._refresh_s:
            return None
        if not identity and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(identity)

    @property
    def may_ask(self) -> bool:
        """True where a name that is not known is worth a fetch."""
        return self._clock() - self._asked_at >= UNKNOWN_S

    async def refresh(self) -> None:
        """Fetches the keys, once for all that wait; never fails."""
        rounds = self._rounds
        async with self._turn:
            if self._rounds != rounds:
                return  # somebody else has, meanwhile
            self._asked_at = self._clock()
            try:
                keys = read_key_set(await self._fetch())
            except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
                kind = type(error).__name__
                log.error("the keys of issuer '%s' cannot be fetched: %s", self._issuer, kind)
                return
            finally:
                self._rounds += 1
            self.take(keys)

    def take(self, keys: KeySet) -> None:
        """These are the keys now."""
        if keys.keys() != self._keys.keys() or self._changed(keys):
            self.generation += 1
        self._keys, self._fetched_at = keys, self._clock()

    def _changed(self, keys: KeySet) -> bool:
        return any(_number(keys[name]) != _number(old) for name, old in self._keys.items())

    async def run(self) -> None:
        """Refreshes again and again."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._refresh_s)


async def fetch(session: aiohttp.ClientSession, url: str) -> bytes:
    """The document at `url`; raises ValueError for one that is too long, or elsewhere."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with session.get(url, allow_redirects=False, timeout=timeout) as answer:
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        text = await answer.content.read(MAX_BYTES + 1)
        while len(text) <= MAX_BYTES and (more := await answer.content.read(MAX_BYTES + 1)):
            text += more
    if len(text) > MAX_BYTES:
        raise ValueError("the set of keys is too long")
    return text


def _number(key: Key) -> object:
    """What differs between two keys."""
    numbers = getattr(key.public, "public_numbers", None)
    return key.public.public_bytes_raw() if numbers is None else numbers()  # type: ignore[union-attr]
