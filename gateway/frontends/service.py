"""All protocols of a front as one service for its listeners."""

from __future__ import annotations

from collections.abc import Callable

from gateway import __version__
from gateway.core.clock import Clock
from gateway.frontends.router import Router
from gateway.frontends.settings import FrontendSettings
from gateway.frontends.v2_grpc.endpoints import Tools as GrpcTools
from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_rest.endpoints import Tools as RestTools
from gateway.frontends.v2_rest.routes import Rest
from gateway.pipeline.control import RepositoryService
from gateway.pipeline.observing import Observing
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Endpoint, Head, Service


class Protocols:
    """Implements `Service`: V2 over REST and gRPC, of one inference service, repository and settings.

    `extensions` are those of V2 that work here and not in every gateway; `guard` stands before all paths.
    """

    def __init__(
        self,
        inference: InferenceService,
        settings: FrontendSettings,
        clock: Clock,
        repository: RepositoryService,
        observing: Observing,
        extensions: tuple[str, ...] = (),
        guard: Callable[[Service], Service] | None = None,
    ) -> None:
        name = settings.told_name
        for_grpc = GrpcTools(inference, settings.grpc, clock, repository, observing)
        for_rest = RestTools(inference, settings.rest, clock, repository, observing)
        self._grpc = Grpc(for_grpc, name, __version__, extensions)
        rest = Rest(for_rest, name, __version__, extensions)
        router = Router(rest, self._grpc)
        self._router: Service = router if guard is None else guard(router)

    def route(self, head: Head) -> Endpoint:
        """See wire.exchange.Service."""
        return self._router.route(head)

    def refresh(self) -> None:
        """Must be called about once a second: tells health watches what has changed."""
        self._grpc.health.refresh()

    def finish(self) -> None:
        """Ends what would outlast a drain."""
        self._grpc.health.finish()
        self._grpc.streams.finish()
