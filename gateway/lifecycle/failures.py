"""What is held against one version, and for how long: a load that failed, workers that died."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.lifecycle.means import Means, Timer
from gateway.lifecycle.offers import Offer
from gateway.lifecycle.states import State
from gateway.workers.restart import Quarantine, Restart, after_death, policy_of, recent

log = logging.getLogger("gateway.lifecycle")


class Failures:
    """Invariant: a timer exactly while a failure is remembered; it calls `on_over`."""

    def __init__(self, means: Means, on_over: Callable[[], None]) -> None:
        self._means = means
        self._on_over = on_over
        self._deaths: tuple[float, ...] = ()
        self._timer: Timer | None = None
        self._retry_at = 0.0
        self._refused_fingerprint = ""
        self.reason = ""
        self.lacks_memory = False  # it may load where there is more

    @property
    def deaths(self) -> int:
        """Those that count."""
        return len(self._deaths)

    def retry_in_s(self, now: float) -> float:
        """How long the failure will be remembered."""
        return max(0.0, self._retry_at - now)

    def remember(self, reason: str, memory_s: float, *, lacks_memory: bool) -> None:
        """It failed, and is not tried again before `on_over` is called."""
        self._cancel()
        self.reason, self._retry_at, self.lacks_memory = reason, self._means.clock() + memory_s, lacks_memory
        self._timer = self._means.timers.call_later(memory_s, self._over)

    def forget(self) -> None:
        """Nothing is known of a failure any more."""
        self._cancel()
        self.reason, self._retry_at = "", 0.0

    def refuse_change(self, offer: Offer, state: State) -> None:
        """Its files have changed under it, which is told once."""
        if offer.fingerprint != self._refused_fingerprint:
            self._refused_fingerprint = offer.fingerprint
            text = "VERSION_MUTATED: its files changed while it is %s; publish a new version; this is ignored"
            log.warning(f"%s: {text}", offer.key, state.value)

    def forget_deaths(self) -> None:
        """It is another now, or somebody knows better."""
        self._deaths = ()

    def died(self) -> Restart | Quarantine:
        """One more death, now; what is to follow."""
        now, policy = self._means.clock(), policy_of(self._means.settings)
        self._deaths = (*recent(self._deaths, now, policy.window_s), now)
        return after_death(self._deaths, now, policy, self._means.rng.random())

    def _over(self) -> None:
        self._timer = None
        self._on_over()

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
