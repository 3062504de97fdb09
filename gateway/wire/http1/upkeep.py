"""What time does to a connection: every deadline, looked at twice a second."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gateway.core.errors import RequestTimeout
from gateway.wire.http1.deadlines import is_head_late
from gateway.wire.http1.head import Refused
from gateway.wire.http1.phase import Phase
from gateway.wire.settings import WireSettings

if TYPE_CHECKING:
    from gateway.wire.http1.connection import Http1Connection


class Upkeep:
    """Enforces the deadlines of one connection.

    The clock is not read for a request that comes in one piece and is answered: `pieces_received` tells
    whether anything moved since the last sweep, so idle time is known to half a second, at no cost.
    """

    __slots__ = ("_opened", "_pieces", "_quiet_since", "_settings")

    def __init__(self, settings: WireSettings, now: float) -> None:
        self._settings = settings
        self._opened = self._quiet_since = now
        self._pieces = 0

    def sweep(self, connection: Http1Connection, now: float) -> None:
        """Acts on whatever is overdue at `now`."""
        settings = self._settings
        is_stuck = connection.outgoing.is_stuck(now, settings.write_idle_timeout_s)
        if connection.pieces_received != self._pieces or connection.outgoing.is_sending:
            self._pieces = connection.pieces_received
            self._quiet_since = now
        phase = connection.phase
        if is_stuck:
            connection.shared.count_fault("write_timeout")
            connection.close()
        elif phase is Phase.HEAD:
            self._sweep_head(connection, now)
        elif phase is Phase.BODY:
            self._sweep_body(connection, now)
        elif phase is Phase.LINGER and now > connection.linger_until:
            connection.close()
        elif connection.half_closed_at != inf:
            self._sweep_half_closed(connection, now)
        if settings.max_connection_age_s:
            self._sweep_age(connection, now - self._opened - settings.max_connection_age_s)

    def _sweep_head(self, connection: Http1Connection, now: float) -> None:
        reader = connection.reader
        if reader.is_partial and is_head_late(now, reader.began, self._settings):
            connection.refuse_head(Refused(408, "the request's head did not come in time", "head_timeout"))
        elif not reader.is_partial and now - self._quiet_since > self._settings.idle_timeout_s:
            connection.finish()

    def _sweep_body(self, connection: Http1Connection, now: float) -> None:
        incoming = connection.incoming
        if incoming is None:
            return
        fault = incoming.fault(now, self._settings, is_paused=not connection.is_reading)
        if fault is not None:
            connection.refuse(RequestTimeout(fault), "body_timeout")

    def _sweep_half_closed(self, connection: Http1Connection, now: float) -> None:
        exchange = connection.exchange
        if exchange is None:
            return
        may_probe = not exchange.is_started and not exchange.request.is_http10
        if not connection.outgoing.has_reader(now - connection.half_closed_at, may_probe=may_probe):
            connection.close()

    def _sweep_age(self, connection: Http1Connection, overdue_s: float) -> None:
        if overdue_s > self._settings.max_connection_age_grace_s:
            connection.close()
        elif overdue_s > 0 and not connection.is_ending:
            connection.drain()
