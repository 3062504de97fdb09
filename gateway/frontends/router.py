"""Which protocol a request speaks, from its head alone."""

from __future__ import annotations

from functools import partial

from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_rest.endpoints import OK_JSON, Simple
from gateway.frontends.v2_rest.errors import answer_error, error_body
from gateway.frontends.v2_rest.routes import Rest
from gateway.wire.exchange import Endpoint, Exchange, Head


class Router:
    """All protocols of one front; implements `Service`. `fallback` answers what is none of theirs."""

    def __init__(self, rest: Rest, grpc: Grpc, fallback: Endpoint | None = None) -> None:
        self._rest = rest
        self._grpc = grpc
        self._grpc_paths = grpc.paths
        self._fallback: Endpoint = _nothing_here() if fallback is None else fallback

    def route(self, head: Head) -> Endpoint:
        path = head.path
        if path in self._grpc_paths:
            return self._grpc.route(head)
        if path.startswith(b"/v2/") or path == b"/v2":
            return self._rest.route(head)
        # A call of a method unknown here must still be answered as gRPC: UNIMPLEMENTED, not 404.
        if head.http_version == "2" and (head.get(b"content-type") or b"").startswith(b"application/grpc"):
            return self._grpc.route(head)
        return self._fallback


def _nothing_here() -> Endpoint:
    return Simple(partial(_not_found, error_body("Not Found")), answer_error)


def _not_found(body: bytes, exchange: Exchange) -> None:
    exchange.respond(404, OK_JSON, body)
