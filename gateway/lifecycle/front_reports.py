"""What fronts hand over once a second: their counters, merged, and how their models are used."""

from __future__ import annotations

import logging

import msgspec

from gateway.control.messages import Demand
from gateway.core.clock import monotonic_s
from gateway.lifecycle.demand import Demands
from gateway.telemetry.counters import Merged
from gateway.telemetry.series import FrontReport

log = logging.getLogger("gateway.lifecycle")


class FrontReports:
    """Implements front_contract.FrontTelemetry."""

    def __init__(self, demands: Demands) -> None:
        self.merged = Merged()
        self._demands = demands
        self._decode = msgspec.msgpack.Decoder(FrontReport).decode

    def on_counters(self, front: int, data: bytes) -> None:
        """Takes a front's newest report; one that is not understood is dropped and logged."""
        try:
            report = self._decode(data)
        except msgspec.MsgspecError as error:
            log.error("front %d handed over counters that cannot be read: %s", front, error)
            return
        self.merged.update(front, report)

    def on_demand(self, front: int, demand: Demand) -> None:
        """Takes over how a front's models are used."""
        self._demands.take(front, demand, monotonic_s())

    def on_front_died(self, front: int) -> None:
        """Keeps the sums of the dead front."""
        self._demands.lost(front)
        self.merged.retire(front)
