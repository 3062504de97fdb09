"""The plugin `limits`: its hooks; `gate` has what they do.

With one rate rule `admit` costs what twenty calls of an empty method do (1 us; compiled half of that); with
the adaptive limit, codel and retries what seventy do, and a record what sixty do.
"""

from __future__ import annotations

from gateway.core.caller import Caller
from gateway.core.measures import Measure
from gateway.core.messages import InferRequest
from gateway.core.records import RequestRecord
from gateway.hooks import Start, hookimpl
from gateway.hooks.values import Release
from gateway_plugins.limits.gate import Gate
from gateway_plugins.limits.settings import LimitsSettings


class Limits:
    """Quotas of callers by rate and concurrency, and shedding of what makes all others late."""

    Settings = LimitsSettings

    def __init__(self, settings: LimitsSettings, start: Start) -> None:
        self._clock = start.clock
        self._gate = Gate(settings, start.clock)
        self.direct = {"admit": self._gate.admit}
        # Where nothing is learnt no record is needed.
        self.unused = ("on_request",) if self._gate.pressure is None else ()

    @hookimpl
    def admit(self, request: InferRequest, caller: Caller) -> Release | None:
        """Raises QuotaExceeded or Overloaded; a refusal has taken nothing."""
        return self._gate.admit(request, caller)

    @hookimpl
    def on_request(self, record: RequestRecord) -> None:
        """Learns what the models are good for."""
        if self._gate.pressure is not None:
            self._gate.pressure.record(record, self._clock())

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """Refusals by limit, and adaptive limits by model."""
        return self._gate.measures()
