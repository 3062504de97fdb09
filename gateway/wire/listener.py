"""A listening address: connections from accept to their end, swept, counted, capped, drained."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as ssl_module
from collections.abc import Mapping

import msgspec

from gateway.core.clock import Clock
from gateway.wire.accepting import Acceptor, listening_socket
from gateway.wire.connection import Connection, ConnectionFactory
from gateway.wire.exchange import BodyMemory, Peer, Service
from gateway.wire.http1 import HeadCache, Http1Connection, Shared
from gateway.wire.settings import WireSettings
from gateway.wire.sniff import Sniffer

LOG = logging.getLogger(__name__)

# Every connection is looked at twice a second. All at once would hold the loop for 0.5 us x 16,384 = 8 ms,
# so an eighth of them is looked at every 62.5 ms.
SWEEP_S = 0.5
_SHARES = 8


class ListenerStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, but for `open`; `faults` are protocol errors and timeouts by kind."""

    open: int
    accepted: int
    refused: int
    faults: Mapping[str, int]


class Listener:
    """Serves `service` on one address by HTTP/1.1 and HTTP/2; `start` once, `drain` at the end.

    Invariant: `_open` is the number of connections in `_shares` plus those not yet made of their
    sockets, and at most `max_connections`.
    """

    def __init__(
        self,
        service: Service,
        settings: WireSettings,
        clock: Clock,
        *,
        ssl: ssl_module.SSLContext | None = None,
        body_memory: BodyMemory | None = None,
        http2: ConnectionFactory | None = None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._clock = clock
        self._ssl = ssl
        self._body_memory = body_memory
        self._http2 = http2
        self._faults: dict[str, int] = {}
        self._shared = Shared(HeadCache(), self._faults)
        # By number; connection n is in share n % _SHARES, whoever speaks on it at the time.
        self._shares: tuple[dict[int, Connection], ...] = tuple({} for _ in range(_SHARES))
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_share = 0
        self._open = 0
        self._accepted = 0
        self._registered = 0
        self._is_draining = False
        self._all_gone: asyncio.Event | None = None

    async def start(self, host: str, port: int, reuse_port: bool = False) -> tuple[str, int]:
        """Accepts from now on; returns the address bound, with the port chosen where `port` was 0."""
        self._loop = asyncio.get_running_loop()
        sock = listening_socket(host, port, reuse_port=reuse_port)
        self._acceptor = Acceptor(sock, self._on_socket, self._loop)
        self._acceptor.resume()
        self._timer = self._loop.call_later(SWEEP_S / _SHARES, self._sweep)
        bound = sock.getsockname()
        return str(bound[0]), int(bound[1])

    def statistics(self) -> ListenerStatistics:
        refused = self._acceptor.refused if self._acceptor is not None else 0
        return ListenerStatistics(self._open, self._accepted, refused, dict(self._faults))

    async def drain(self, timeout_s: float) -> None:
        """Accepts no more, lets every connection finish, ends what is left after `timeout_s`."""
        self._is_draining = True
        if self._acceptor is not None:
            self._acceptor.close()
        for connection in self._connections():
            connection.drain()
        if not await self._wait_until_gone(timeout_s):
            for connection in self._connections():
                connection.close()
            await self._stop_handshakes()
            await self._wait_until_gone(1.0)  # connection_lost comes with the loop's next round
        if self._timer is not None:
            self._timer.cancel()

    # ---- accepting ----

    def _on_socket(self, sock: socket.socket, address: tuple[str, int]) -> None:
        self._accepted += 1
        self._open += 1
        assert self._acceptor is not None
        if self._open >= self._settings.max_connections:
            self._acceptor.pause()
        task = self._loop.create_task(self._connect(sock, address), name="wire.connect")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Gives a socket its transport; for TLS that is after the handshake."""
        sniffer = Sniffer(self._make_http1, self._make_http2, address, self._settings, self._clock)
        sniffer.on_open = self._register
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handshake_s = None if self._ssl is None else self._settings.headers_timeout_s
            await self._loop.connect_accepted_socket(
                lambda: sniffer, sock, ssl=self._ssl, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:  # ssl.SSLError is one: no TLS, an unknown client, a client gone
            self._faults["handshake"] = self._faults.get("handshake", 0) + 1
            LOG.debug("a connection was lost before it was one: %s", error)
        finally:
            if not sniffer.is_open:
                sock.close()
                self._release()

    def _register(self, sniffer: Sniffer) -> None:
        self._registered += 1
        number = self._registered
        share = self._shares[number % _SHARES]
        share[number] = sniffer

        def chosen(connection: Connection) -> None:
            share[number] = connection
            connection.on_lost = lost

        def lost() -> None:
            del share[number]
            self._release()

        sniffer.on_choice = chosen
        sniffer.on_lost = lost
        if self._is_draining:
            sniffer.drain()

    def _release(self) -> None:
        """A connection is over: there is room for another one."""
        self._open -= 1
        if not self._open and self._all_gone is not None:
            self._all_gone.set()
        if not self._is_draining and self._acceptor is not None:
            self._acceptor.resume()

    def _make_http1(self, transport: asyncio.Transport, peer: Peer) -> Connection:
        return Http1Connection(
            transport, self._service, self._settings, self._clock, peer, self._body_memory, self._shared
        )

    def _make_http2(self, transport: asyncio.Transport, peer: Peer) -> Connection:
        from gateway.wire.tracked import http2_connection

        factory = self._http2 or http2_connection
        return factory(transport, self._service, self._settings, self._clock, peer, self._body_memory)

    # ---- time and the end ----

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S / _SHARES, self._sweep)
        self._next_share = (self._next_share + 1) % _SHARES
        now = self._clock()
        for connection in list(self._shares[self._next_share].values()):
            connection.sweep(now)
        has_room = self._open < self._settings.max_connections
        if self._acceptor is not None and has_room and not self._is_draining:
            self._acceptor.resume()

    def _connections(self) -> list[Connection]:
        return [connection for share in self._shares for connection in share.values()]

    async def _wait_until_gone(self, timeout_s: float) -> bool:
        if not self._open:
            return True
        self._all_gone = asyncio.Event()
        try:
            await asyncio.wait_for(self._all_gone.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _stop_handshakes(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
