"""One request at the gate: held against everything, then it takes from everything.

DESIGN: one synchronous function, so that nothing happens between looking and taking. The caller's own
limits are asked before ours: whoever is over a quota is told so (429, which they can do something about, and
which is no failure of ours), also where we are overloaded.
What a model asks of other models while it executes (`chain`) is part of the request that was let in: to
refuse that half-way would waste what is done already, and a limit of 1 would wait for itself.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from gateway.core.caller import Caller
from gateway.core.clock import Clock
from gateway.core.measures import Measure
from gateway.core.messages import InferRequest
from gateway.hooks.values import Release
from gateway_plugins.limits.concurrency import Held
from gateway_plugins.limits.pressure import TOO_LATE, TOO_MANY, TOO_OFTEN, Pressure
from gateway_plugins.limits.priority import effective
from gateway_plugins.limits.rules import Rules
from gateway_plugins.limits.settings import LimitsSettings

_LIMITS: Final = {TOO_MANY: "adaptive", TOO_LATE: "codel", TOO_OFTEN: "retry_storm"}
# Models whose limit is on the page of metrics; there may be more rules than that, not more models.
_MAX_TOLD: Final = 500


class Gate:
    """`pressure` is None where nothing is learnt from records."""

    __slots__ = ("_clock", "_default_priority", "_rules", "pressure")

    def __init__(self, settings: LimitsSettings, clock: Clock) -> None:
        self._clock: Final = clock
        self._rules: Final = Rules(settings)
        self._default_priority: Final = settings.default_priority
        pressure = Pressure(settings)
        is_used = settings.adaptive.enabled or settings.codel.enabled or settings.retry_storm.enabled
        self.pressure: Final = pressure if is_used else None

    def admit(self, request: InferRequest, caller: Caller) -> Release | None:
        """Raises QuotaExceeded or Overloaded; a refusal has taken nothing."""
        if request.chain:
            return None
        now = self._clock()
        if self.pressure is None:
            places = self._rules.admitted(caller.principal, request.model, now).places
            return Held(places) if places else None
        return self._admit_under(self.pressure, request, caller, now)

    def measures(self) -> tuple[Measure, ...]:
        """How many were refused by which limit, and what the adaptive limits are now."""
        told = [_refused(rule, limit, count) for rule, limit, count in self._rules.refusals()]
        if self.pressure is not None:
            told += [_refused("", _LIMITS[text], count) for text, count in self.pressure.refusals.items()]
            limits = islice(self.pressure.limits(), _MAX_TOLD)
            told += [Measure("adaptive_limit", "gauge", one, (("model", name),)) for name, one in limits]
        return tuple(told)

    def _admit_under(
        self, pressure: Pressure, request: InferRequest, caller: Caller, now: float
    ) -> Release | None:
        plan = self._rules.plan(caller.principal, request.model)
        plan.check(now)
        places = plan.places
        priority = effective(request.priority, plan.priority_floor, self._default_priority)
        pressure.check(request.model, priority, caller, now)
        if pressure.is_counting:
            places += ((pressure.counters, request.model),)
        plan.take(now)
        return Held(places) if places else None


def _refused(rule: str, limit: str, count: int) -> Measure:
    return Measure("refusals", "counter", count, (("rule", rule), ("limit", limit)), "Requests refused.")
