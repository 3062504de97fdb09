"""HTTP/2 connections as the listener wants them: they tell when they are over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.core.messages import Lease
from gateway.wire.connection import Connection
from gateway.wire.exchange import BodyMemory, Peer, Service
from gateway.wire.http2 import Http2Connection
from gateway.wire.settings import WireSettings


class _NoMemory:
    """For listeners without shared memory: bodies stay in this process."""

    def allocate(self, size: int, payload_offset: int) -> tuple[memoryview, Lease] | None:
        return None


class TrackedHttp2(Http2Connection):
    """Calls `on_lost` when the connection is lost and everything released."""

    on_lost: Callable[[], None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()


def http2_connection(
    transport: asyncio.Transport,
    service: Service,
    settings: WireSettings,
    clock: Clock,
    peer: Peer,
    body_memory: BodyMemory | None,
) -> Connection:
    """A connection on the running loop; `ConnectionFactory` has the obligations."""
    call_soon = asyncio.get_running_loop().call_soon
    return TrackedHttp2(transport, service, settings, clock, peer, body_memory or _NoMemory(), call_soon)
