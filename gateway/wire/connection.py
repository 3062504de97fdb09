"""What the listener asks of a connection, whatever it speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.core.clock import Clock
from gateway.wire.exchange import BodyMemory, Peer, Service
from gateway.wire.settings import WireSettings


class Connection(Protocol):
    """A protocol of asyncio that owns its transport from construction on."""

    # Called once, when the connection is lost and everything released; set by the listener.
    on_lost: Callable[[], None] | None

    @property
    def is_idle(self) -> bool:
        """True while no request and no answer is under way."""

    def data_received(self, data: bytes) -> None:
        """The next bytes of the stream, from its first one on."""

    def eof_received(self) -> bool | None:
        """The client sends no more; False closes the transport."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Must release everything; nothing is called afterwards."""

    def pause_writing(self) -> None:
        """More bytes are unsent than the transport's high mark."""

    def resume_writing(self) -> None:
        """The transport's unsent bytes are at or below its low mark."""

    def sweep(self, now: float) -> None:
        """Called about twice a second: enforces every deadline."""

    def drain(self) -> None:
        """Takes no new work; closes when what is under way has ended."""

    def close(self) -> None:
        """Ends at once."""


# How the listener makes one: (transport, service, settings, clock, peer, body_memory).
ConnectionFactory = Callable[
    [asyncio.Transport, Service, WireSettings, Clock, Peer, BodyMemory | None], Connection
]
