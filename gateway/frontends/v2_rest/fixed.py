"""An extension that is there to say that it is off: shared memory of callers."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.frontends.shared_memory import disabled
from gateway.frontends.v2_rest.endpoints import OK_JSON, Simple
from gateway.frontends.v2_rest.errors import answer_error
from gateway.frontends.v2_rest.post import Document, Post
from gateway.wire.exchange import Endpoint, Exchange

ByMethod = Mapping[bytes, Endpoint]


class FixedExtensions:
    """Endpoints by method, of the paths that belong to it."""

    def __init__(self) -> None:
        register = Post(_refuse_region)
        self._shared_memory: Mapping[bytes, ByMethod] = {
            b"status": {b"GET": Simple(_no_regions, answer_error)},
            b"register": {b"POST": register},
            b"unregister": {b"POST": register},
        }

    def find(self, path: list[bytes]) -> ByMethod | None:
        """The endpoints of a path's segments below /v2; None where it is another's."""
        match path:
            case [b"systemsharedmemory" | b"cudasharedmemory", (b"status" | b"unregister") as action]:
                return self._shared_memory[action]
            case [
                b"systemsharedmemory" | b"cudasharedmemory",
                b"region",
                _,
                (b"status" | b"register" | b"unregister") as action,
            ]:
                return self._shared_memory[action]
        return None


def _no_regions(exchange: Exchange) -> None:
    exchange.respond(200, OK_JSON, b"[]")


def _refuse_region(document: Document, exchange: Exchange) -> None:
    answer_error(exchange, disabled())
