"""An issuer's keys as one process knows them: read in the background, believed for a while without that.

DESIGN: one task reads, so there is never more than one fetch under way; whoever meets an unknown key wakes it
and waits for its next result, with all others. It can be woken LEAST_S after a fetch began at the earliest:
anybody can make up ids of keys, and each would be a request to the provider. Rejected: a fetch by the request
that needs it, which ends when its caller hangs up.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from math import inf

from gateway.core.clock import Clock
from gateway_plugins.jwt_auth.keys import KeySet, parse_keys
from gateway_plugins.jwt_auth.readers import Reader

log = logging.getLogger("gateway.plugins")

# Between the beginning of a fetch and one that an unknown key asks for.
LEAST_S = 30.0
# How long a request waits for a fetch: less than the hook's half second, beyond which the plugin itself has
# failed, and a slow provider with a few made-up tokens would shut everybody out.
WAIT_S = 0.3
# Between fetches that fail: from the first up to the second, doubled each time.
_RETRY_S, _MAX_RETRY_S = 5.0, 60.0


class KeySource:
    """The keys of `issuer`; between `start` and `stop` they are kept new.

    Invariant: `current` is the same object as long as the provider's document is the same bytes.
    """

    def __init__(self, issuer: str, reader: Reader, ttl_s: float, stale_s: float, clock: Clock) -> None:
        self._issuer = issuer
        self._reader = reader
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._clock = clock
        self._keys: KeySet | None = None
        self._document = b""
        self._read_at = self._begun_at = -inf
        self._failures = 0
        # Done when the fetch that is under way or wanted has ended.
        self._round: asyncio.Future[None] | None = None
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def current(self) -> KeySet | None:
        """The keys that can be believed now; None where they were never read, or not for too long."""
        if self._clock() - self._read_at > self._ttl_s + self._stale_s:
            return None
        return self._keys

    def newer(self) -> asyncio.Future[None] | None:
        """Done when a fetch has ended (see `ended`); None where it is too early to begin one."""
        if self._task is None:
            return None
        if self._round is None:
            if self._clock() - self._begun_at < LEAST_S:
                return None
            self._round = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return self._round

    def accept(self, document: bytes, at: float) -> None:
        """Takes a document that was read from `at` on; raises ValueError for what is no key set."""
        if document != self._document or self._keys is None:
            self._keys, self._document = parse_keys(document), document
            if not self._keys.keys:
                log.warning("jwt: of the %d keys of %r none can be used", self._keys.left_out, self._issuer)
        self._read_at = at

    # ---- in the background ----------------------------------------------------------------------

    def start(self) -> None:
        """Begins to read; must be called on the loop."""
        self._wanted = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name="jwks")

    async def stop(self) -> None:
        """Ends that."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if self._round is not None:  # it was wanted, and did not begin
            self._round.set_result(None)
            self._round = None
        await self._reader.close()

    async def _follow(self) -> None:
        while True:
            self._wanted.clear()
            await self._fetch()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wanted.wait()

    async def _fetch(self) -> None:
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        self._begun_at = at = self._clock()
        try:
            self.accept(await self._reader.read(), at)
        except Exception as error:  # ruff: ignore[blind-except] - whatever was sent, the next fetch must come
            self._failed(error)
        else:
            self._went_well()
        finally:
            done, self._round = self._round, None
            done.set_result(None)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            # A text of our own says more than a name; others may hold what was sent.
            told = error if type(error) is ValueError else type(error).__name__
            log.error("jwt: the keys of %r cannot be read: %s; known ones are kept", self._issuer, told)

    def _went_well(self) -> None:
        if self._failures:
            log.info("jwt: the keys of %r can be read again", self._issuer)
        self._failures = 0

    def _pause_s(self) -> float:
        if not self._failures:
            return self._ttl_s
        return min(_RETRY_S * 2.0 ** min(self._failures - 1, 10), _MAX_RETRY_S, self._ttl_s)


async def ended(fetch: asyncio.Future[None]) -> None:
    """Waits for WAIT_S at most; others can wait for the same, also if this is cancelled."""
    await asyncio.wait({fetch}, timeout=WAIT_S)
