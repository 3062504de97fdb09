"""The first bytes of a connection: HTTP/2 by ALPN or by its preface, else HTTP/1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.core.clock import Clock
from gateway.wire.connection import Connection
from gateway.wire.exchange import Peer
from gateway.wire.settings import WireSettings
from gateway.wire.tls import client_subject

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# A client that has just connected has a request under way that no retry would cover: a drain waits for
# its first byte this long.
FRESH_S = 1.0


class Sniffer(asyncio.Protocol):
    """Stands in for a connection until its first bytes, or ALPN, tell what it speaks.

    Then the transport is given the real one, to which all further events go directly. `on_open` is called
    with this sniffer when the transport is there (for TLS: after the handshake), `on_choice` with the
    connection that takes its place, `on_lost` if it ends before that.
    """

    def __init__(
        self,
        make_http1: Callable[[asyncio.Transport, Peer], Connection],
        make_http2: Callable[[asyncio.Transport, Peer], Connection],
        address: tuple[str, int] | None,
        settings: WireSettings,
        clock: Clock,
    ) -> None:
        self.on_open: Callable[[Sniffer], None] | None = None
        self.on_choice: Callable[[Connection], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self._make_http1 = make_http1
        self._make_http2 = make_http2
        self._address = address
        self._settings = settings
        self._clock = clock
        self._opened = clock()
        self._is_draining = False
        self._began = self._opened
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._peer = Peer(address)

    # ---- from the transport ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream transport, as every TCP connection has; uvloop's does not inherit from asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        ssl_object = transport.get_extra_info("ssl_object")
        if self.on_open is not None:
            self.on_open(self)
        if ssl_object is None:
            return
        self._peer = Peer(self._address, client_subject(ssl_object))
        if ssl_object.selected_alpn_protocol() == "h2":
            self._become(self._make_http2, b"")

    def data_received(self, data: bytes) -> None:
        if not self._seen:
            self._began = self._clock()
        seen = self._seen + data
        if not seen.startswith(PREFACE[: len(seen)]):
            self._become(self._make_http1, seen)
        elif len(seen) >= len(PREFACE):
            self._become(self._make_http2, seen)
        else:
            self._seen = seen

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        """Nothing is written before the choice."""

    def resume_writing(self) -> None:
        """Nothing is written before the choice."""

    # ---- from the listener ----

    @property
    def is_open(self) -> bool:
        """True once the transport is there."""
        return self._transport is not None

    @property
    def is_idle(self) -> bool:
        return not self._seen

    def sweep(self, now: float) -> None:
        if self._seen:
            is_over = now - self._began > self._settings.headers_timeout_s
        else:
            allowed_s = FRESH_S if self._is_draining else self._settings.idle_timeout_s
            is_over = now - self._opened > allowed_s
        if is_over:
            self.close()

    def drain(self) -> None:
        self._is_draining = True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _become(self, make: Callable[[asyncio.Transport, Peer], Connection], seen: bytes) -> None:
        transport = self._transport
        assert transport is not None
        connection = make(transport, self._peer)
        transport.set_protocol(connection)  # type: ignore[arg-type]  # a protocol by structure
        if self.on_choice is not None:
            self.on_choice(connection)
        if seen:
            connection.data_received(seen)
        # Only now: the request whose first bytes are here is still served.
        if self._is_draining:
            connection.drain()
