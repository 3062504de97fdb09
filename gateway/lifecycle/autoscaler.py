"""Brings every version to the number of instances it is used for, and what nobody uses to zero.

One actor, which looks once in `tick_s` at the versions that are loaded or must be. What wakes a version from
zero is the request itself, not this: by the next look it has instances to count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.core.clock import Clock
from gateway.core.model import ModelKey
from gateway.lifecycle.demand import Demands, kept_s
from gateway.lifecycle.offers import Offer, first_count
from gateway.lifecycle.scaling import Bounds, Rules, ScaleState, bounded, decide, observed, target_of
from gateway.lifecycle.settings import ScalingSettings


class Scalable(Protocol):
    """A version as the autoscaler sees it."""

    @property
    def key(self) -> ModelKey: ...

    @property
    def offered(self) -> Offer: ...

    @property
    def ready(self) -> int: ...

    @property
    def wanted(self) -> int: ...

    @property
    def is_settled(self) -> bool: ...

    def scale_to(self, count: int) -> None: ...


class _Seen:
    """What is known of a version while it is loaded."""

    __slots__ = ("grown_at", "ready", "state")

    def __init__(self, now: float) -> None:
        self.state = ScaleState()
        self.ready = 0
        self.grown_at = now  # when a load was last seen to have come to something

    def see(self, ready: int, now: float) -> None:
        """So many instances are there."""
        if ready > self.ready or not ready:
            self.grown_at = now
        self.ready = ready


class Autoscaler:
    """`versions` are those that are loaded, on their way, or to be loaded in any case."""

    def __init__(
        self,
        settings: ScalingSettings,
        versions: Callable[[], Iterable[Scalable]],
        demands: Demands,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._versions = versions
        self._demands = demands
        self._clock = clock
        self._seen: dict[ModelKey, _Seen] = {}

    async def run(self) -> None:
        """Looks until it is cancelled, where the settings say so."""
        while self._settings.enabled:
            self.look()
            await asyncio.sleep(self._settings.tick_s)

    def look(self) -> None:
        """Decides for every version, and has done what was decided."""
        now = self._clock()
        versions = list(self._versions())
        for version in versions:
            self._scale(version, now)
        self._demands.looked()
        there = {version.key for version in versions}
        for key in self._seen.keys() - there:
            del self._seen[key]
        for key in [key for key in self._demands.ever_used() if key not in there]:
            self._demands.forget(key)

    def _scale(self, version: Scalable, now: float) -> None:
        if version.wanted == 0:
            self._seen.pop(version.key, None)
            if version.offered.scale.min_instances:
                version.scale_to(first_count(version.offered))
            return
        seen = self._seen.setdefault(version.key, _Seen(now))
        seen.see(version.ready, now)
        bounds, unused_s = self._bounds(version), self._unused_s(version, seen, now)
        if bounds.low == bounds.high:  # most versions: what the load is makes no difference
            desired = bounded(bounds.low, bounds, unused_s)
        else:
            rules = self._rules(version)
            seen.state = observed(seen.state, now, self._demands.concurrency(version.key), rules)
            seen.state, desired, _ = decide(now, seen.state, version.ready, rules, bounds, unused_s=unused_s)
        if version.ready and desired != version.wanted:
            version.scale_to(desired)

    def _unused_s(self, version: Scalable, seen: _Seen, now: float) -> float | None:
        usage = self._demands.usage(version.key)
        if usage.in_flight or not version.is_settled or not version.ready:
            return None
        return now - max(usage.last_used_at, seen.grown_at)

    def _rules(self, version: Scalable) -> Rules:
        settings = self._settings
        total = version.offered.scale.target_concurrency or settings.target_concurrency
        return Rules(
            settings.stable_window_s,
            settings.stable_window_s * settings.panic_window_fraction,
            settings.panic_threshold,
            settings.max_scale_up_rate,
            settings.max_scale_down_rate,
            target_of(total, settings.target_utilization),
            settings.scale_down_delay_s,
        )

    def _bounds(self, version: Scalable) -> Bounds:
        asked_s = self._demands.keep_alive_s(version.key)
        return bounds_of(version.offered, asked_s, self._settings.keep_alive_s)


def bounds_of(offer: Offer, asked_s: float | None, default_s: float) -> Bounds:
    """Fewest and most instances, and for how long unused ones stay.

    One that does not scale has as many as its instance groups say, or none. A stateful one outlasts
    whatever pause its sequences may make.
    """
    policy = offer.scale
    kept = kept_s(asked_s, policy.keep_alive_s, default_s)
    if kept >= 0 and offer.spec.sequence is not None:
        kept = max(kept, offer.spec.sequence.max_idle_s)
    low = first_count(offer)
    return Bounds(low, max(low, policy.max_instances), kept, not policy.min_instances)
