"""How every version is used, as all fronts together tell of it."""

from __future__ import annotations

from collections.abc import Collection

from gateway.control.messages import Demand, VersionDemand
from gateway.core.device import Usage
from gateway.core.model import ModelKey
from gateway.core.scaling import KeepAlive, longest

_NOTHING = Usage()


class _Told:
    """What one front has told: its last report, and the sums over all since the last look, one at least."""

    __slots__ = ("is_looked_at", "last", "loads", "reports")

    def __init__(self) -> None:
        self.last: dict[ModelKey, VersionDemand] = {}
        self.loads: dict[ModelKey, float] = {}
        self.reports = 0
        self.is_looked_at = False

    def begin(self) -> None:
        """A new report."""
        if self.is_looked_at:
            self.loads, self.reports, self.is_looked_at = {}, 0, False
        self.last = {}
        self.reports += 1

    def add(self, one: VersionDemand) -> None:
        """A version of the report begun."""
        self.last[one.key] = one
        self.loads[one.key] = self.loads.get(one.key, 0.0) + one.concurrency

    def concurrency(self, key: ModelKey) -> float:
        """The mean over the reports."""
        return self.loads.get(key, 0.0) / max(1, self.reports)


class Demands:
    """Whoever decides by it calls `looked` after each look, so that no report goes unheard between two."""

    def __init__(self) -> None:
        self._fronts: dict[int, _Told] = {}
        self._last_used: dict[ModelKey, float] = {}
        self._keep_alive: dict[ModelKey, KeepAlive] = {}

    def take(self, front: int, demand: Demand, now: float) -> None:
        """A front's newest report, or one more packet of it."""
        told = self._fronts.setdefault(front, _Told())
        if demand.is_first:
            told.begin()
        for one in demand.versions:
            told.add(one)
            self._last_used[one.key] = now
            if one.keep_alive is not None:
                self._keep(one.key, one.keep_alive)

    def looked(self) -> None:
        """What was told so far has been heard."""
        for told in self._fronts.values():
            told.is_looked_at = True

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
        """Requests under way at a time, on average over each front's reports since the last look."""
        return sum(told.concurrency(key) for told in self._fronts.values())

    def keep_alive_s(self, key: ModelKey) -> float | None:
        """How long the last request that said so, to whichever front, wants it kept; None where none did."""
        kept = self._keep_alive.get(key)
        return None if kept is None else kept.seconds

    def used_now(self) -> Collection[str]:
        """The models of which a front has told that they were used since its report before."""
        return {key.name for told in self._fronts.values() for key in told.last}

    def ever_used(self) -> Collection[ModelKey]:
        """All that is remembered."""
        return self._last_used.keys()

    def forget(self, key: ModelKey) -> None:
        """It is gone."""
        self._last_used.pop(key, None)
        self._keep_alive.pop(key, None)

    def _of(self, key: ModelKey) -> list[VersionDemand]:
        return [one for told in self._fronts.values() if (one := told.last.get(key)) is not None]

    def _keep(self, key: ModelKey, asked: KeepAlive) -> None:
        known = self._keep_alive.get(key)
        if known is None or known.asked_at <= asked.asked_at:
            self._keep_alive[key] = asked


def kept_s(asked_s: float | None, configured_s: float | None, default_s: float) -> float:
    """How long an unused version stays: as its configuration says, longer where a request asked for that.

    A request's word holds until another's, also where it is shorter than the gateway's default.
    """
    if configured_s is not None:
        return configured_s if asked_s is None else longest(configured_s, asked_s)
    return default_s if asked_s is None else asked_s
