"""The hooks: a request is held against everything, then takes from everything.

DESIGN: one synchronous function, so that nothing happens between looking and taking. The caller's own
limits are asked before ours: whoever is over a quota is told so (429, which they can do something about, and
which is no failure of ours), also where we are overloaded. With one rate rule `admit` costs what
twenty calls of an empty method do (1 us); with the adaptive limit, codel and retries what seventy do, and a
record what sixty do.
What a model asks of other models while it executes (`chain`) is part of the request that was let in: to
refuse that half-way would waste what is done already, and a limit of 1 would wait for itself.
"""

from __future__ import annotations

from gateway.core.caller import Caller
from gateway.core.messages import InferRequest
from gateway.core.records import RequestRecord
from gateway.hooks import Start, hookimpl
from gateway.hooks.values import Release
from gateway_plugins.limits.concurrency import Held
from gateway_plugins.limits.pressure import Pressure
from gateway_plugins.limits.priority import effective
from gateway_plugins.limits.rules import Rules
from gateway_plugins.limits.settings import LimitsSettings


class Limits:
    """Quotas of callers by rate and concurrency, and shedding of what makes all others late."""

    Settings = LimitsSettings

    def __init__(self, settings: LimitsSettings, start: Start) -> None:
        self._clock = start.clock
        self._rules = Rules(settings)
        self._default_priority = settings.default_priority
        pressure = Pressure(settings)
        is_used = settings.adaptive.enabled or settings.codel.enabled or settings.retry_storm.enabled
        self._pressure = pressure if is_used else None
        # Where nothing is learnt no record is needed.
        self.unused = () if is_used else ("on_request",)

    @hookimpl
    def admit(self, request: InferRequest, caller: Caller) -> Release | None:
        """Raises QuotaExceeded or Overloaded; a refusal has taken nothing."""
        if request.chain:
            return None
        now = self._clock()
        if self._pressure is None:
            places = self._rules.admitted(caller.principal, request.model, now).places
            return Held(places) if places else None
        plan = self._rules.plan(caller.principal, request.model)
        plan.check(now)
        places = plan.places
        priority = effective(request.priority, plan.priority_floor, self._default_priority)
        self._pressure.check(request.model, priority, caller, now)
        if self._pressure.is_counting:
            places += ((self._pressure.counters, request.model),)
        plan.take(now)
        return Held(places) if places else None

    @hookimpl
    def on_request(self, record: RequestRecord) -> None:
        """Learns what the models are good for."""
        if self._pressure is not None:
            self._pressure.record(record, self._clock())
