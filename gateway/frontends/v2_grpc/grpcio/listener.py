"""An address served by grpc.aio; in place of a wire.listener.Listener.

DESIGN: grpc.aio, not the threads of grpcio's other server. It polls its completion queue in a thread of
its own and wakes the loop through a socket by `add_reader`, so it runs on uvloop as on any loop, and
endpoints are called on the loop, as they must be. A pool of threads would need a hop per call and direction,
and would hold a thread for every open health watch: a pool's worth of watches would stop all calls.
"""

from __future__ import annotations

import errno

import grpc.aio

from gateway.frontends.v2_grpc.grpcio.calls import Calls, CallSettings
from gateway.frontends.v2_grpc.grpcio.options import channel_arguments, credentials
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.wire.exchange import BodyMemory, Service
from gateway.wire.listener import ListenerStatistics
from gateway.wire.settings import WireSettings
from gateway.wire.tls import TlsSettings


class GrpcioListener:
    """Serves `service` on one address; `start` once, `drain` at the end."""

    def __init__(
        self,
        service: Service,
        settings: GrpcSettings,
        wire: WireSettings,
        *,
        tls: TlsSettings | None = None,
        body_memory: BodyMemory | None = None,
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._tls = tls
        self._calls = Calls(service, CallSettings.of(wire, is_secure=tls is not None), body_memory)
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int, reuse_port: bool = False) -> tuple[str, int]:
        """Accepts from now on; returns the address bound. Raises OSError where it is taken."""
        self._server = grpc.aio.server(
            handlers=(self._calls,),
            options=channel_arguments(self._settings, self._wire, reuse_port=reuse_port),
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, credentials(self._tls))
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, "grpcio cannot bind it, it may be taken") from error
        await self._server.start()
        return host, bound

    def statistics(self) -> ListenerStatistics:
        """grpcio tells nothing of its connections: those with a call under way are counted."""
        return ListenerStatistics(len(self._calls.peers), 0, 0, {})

    async def drain(self, timeout_s: float) -> None:
        """Accepts no more, lets every call finish, cancels what is left after `timeout_s`."""
        if self._server is not None:
            await self._server.stop(timeout_s)
