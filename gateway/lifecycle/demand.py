"""How every version is used, as all fronts together tell of it."""

from __future__ import annotations

from collections.abc import Collection

from gateway.control.messages import Demand, VersionDemand
from gateway.core.device import Usage
from gateway.core.model import ModelKey
from gateway.core.scaling import longest

_NOTHING = Usage()


class Demands:
    """Invariant: of each front the last report; `retain` bounds what is remembered of earlier ones."""

    def __init__(self) -> None:
        self._fronts: dict[int, dict[ModelKey, VersionDemand]] = {}
        self._last_used: dict[ModelKey, float] = {}
        self._keep_alive: dict[ModelKey, float] = {}

    def take(self, front: int, demand: Demand, now: float) -> None:
        """A front's newest report, or one more packet of it."""
        known = {} if demand.is_first else self._fronts.get(front, {})
        for one in demand.versions:
            known[one.key] = one
            self._last_used[one.key] = now
            if one.keep_alive_s is not None:
                self._keep_alive[one.key] = one.keep_alive_s
        self._fronts[front] = known

    def touch(self, key: ModelKey, now: float) -> None:
        """Somebody waits for it."""
        self._last_used[key] = now

    def lost(self, front: int) -> None:
        """What that front had under way is over."""
        self._fronts.pop(front, None)

    def usage(self, key: ModelKey) -> Usage:
        """When it was last used, and how many requests are under way."""
        last = self._last_used.get(key)
        if last is None:
            return _NOTHING
        in_flight = sum(one.in_flight for one in self._of(key))
        return Usage(last, in_flight)

    def concurrency(self, key: ModelKey) -> float:
        """Requests under way at a time, on average over the last report of each front."""
        return sum(one.concurrency for one in self._of(key))

    def keep_alive_s(self, key: ModelKey) -> float | None:
        """How long the last request that said so wants it kept; None where none did."""
        return self._keep_alive.get(key)

    def used_now(self) -> Collection[str]:
        """The models of which a front has told that they were used since its report before."""
        return {key.name for known in self._fronts.values() for key in known}

    def ever_used(self) -> Collection[ModelKey]:
        """All that is remembered."""
        return self._last_used.keys()

    def forget(self, key: ModelKey) -> None:
        """It is gone."""
        self._last_used.pop(key, None)
        self._keep_alive.pop(key, None)

    def _of(self, key: ModelKey) -> list[VersionDemand]:
        return [one for known in self._fronts.values() if (one := known.get(key)) is not None]


def kept_s(asked_s: float | None, configured_s: float | None, default_s: float) -> float:
    """How long an unused version stays: as its configuration says, longer where a request asked for that.

    A request's word holds until another's, also where it is shorter than the gateway's default.
    """
    if configured_s is not None:
        return configured_s if asked_s is None else longest(configured_s, asked_s)
    return default_s if asked_s is None else asked_s
