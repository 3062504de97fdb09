"""The metrics listener's app: Prometheus text, and a health path for probes of the control plane."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.telemetry.exposition import CONTENT_TYPE


def metrics_app(render: Callable[[], bytes], is_ready: Callable[[], bool]) -> Starlette:
    """GET /metrics from `render`; GET /healthz is 200 while `is_ready`, else 503."""

    async def metrics(_: Request) -> Response:
        return Response(render(), headers={"content-type": CONTENT_TYPE})

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n") if is_ready() else PlainTextResponse("not ready\n", 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", health)])
