"""The metrics listener's app: Prometheus text, and a health path for probes of the control plane."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.telemetry.exposition import CONTENT_TYPE
from gateway.wire.asgi import AsgiEndpoint
from gateway.wire.exchange import Endpoint, Head

_MAX_BODY_BYTES = 1 << 16


def metrics_app(render: Callable[[], bytes], is_ready: Callable[[], bool]) -> Starlette:
    """GET /metrics from `render`; GET /healthz is 200 while `is_ready`, else 503."""

    async def metrics(_: Request) -> Response:
        return Response(render(), headers={"content-type": CONTENT_TYPE})

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n") if is_ready() else PlainTextResponse("not ready\n", 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", health)])


class MetricsService:
    """The page as a `Service` for a listener; whatever the path, the app answers."""

    def __init__(self, render: Callable[[], bytes], is_ready: Callable[[], bool]) -> None:
        self._endpoint = AsgiEndpoint(metrics_app(render, is_ready), _MAX_BODY_BYTES)

    def route(self, head: Head) -> Endpoint:
        """See wire.exchange.Service."""
        return self._endpoint

    async def aclose(self) -> None:
        """Ends the requests under way."""
        await self._endpoint.aclose()
