"""Extensions that are there to say that they are off: shared memory of callers, trace and log settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import unquote_to_bytes

import orjson

from gateway.core.errors import GatewayError
from gateway.core.model import check_name
from gateway.frontends.fixed_settings import TRACE, log_settings, refuse_log_changes, refuse_trace_changes
from gateway.frontends.shared_memory import disabled
from gateway.frontends.v2_rest.endpoints import OK_JSON, Simple
from gateway.frontends.v2_rest.errors import answer_error
from gateway.frontends.v2_rest.post import Document, Post
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Endpoint, Exchange

ByMethod = Mapping[bytes, Endpoint]


class FixedExtensions:
    """Endpoints by method, of the paths that belong to these extensions."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service
        register = Post(_refuse_region)
        self._shared_memory: Mapping[bytes, ByMethod] = {
            b"status": {b"GET": Simple(_no_regions, answer_error)},
            b"register": {b"POST": register},
            b"unregister": {b"POST": register},
        }
        self._log: ByMethod = {b"GET": Simple(_tell_log, answer_error), b"POST": Post(_set_log)}

    def find(self, path: list[bytes]) -> ByMethod | None:
        """The endpoints of a path's segments below /v2; None where it is not of these extensions."""
        match path:
            case [b"logging"]:
                return self._log
            case [b"trace", b"setting"]:
                return self._trace("")
            case [b"models", model, b"trace", b"setting"]:
                return self._trace(unquote_to_bytes(model).decode(errors="replace"))
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

    def _trace(self, model: str) -> ByMethod:
        return {
            b"GET": Simple(partial(self._tell_trace, model), answer_error),
            b"POST": Post(partial(self._set_trace, model)),
        }

    def _tell_trace(self, model: str, exchange: Exchange) -> None:
        _answer(exchange, lambda: self._trace_settings(model, {}))

    def _set_trace(self, model: str, document: Document, exchange: Exchange) -> None:
        _answer(exchange, lambda: self._trace_settings(model, document))

    def _trace_settings(self, model: str, changes: Document) -> object:
        """The settings after `changes`; raises GatewayError for any real one, or an unknown model."""
        if model:
            self._service.is_model_ready(check_name(model), 0)
        refuse_trace_changes(_given(changes))
        return {name: list(values) if name == "trace_level" else values[0] for name, values in TRACE.items()}


def _tell_log(exchange: Exchange) -> None:
    _answer(exchange, log_settings)


def _set_log(document: Document, exchange: Exchange) -> None:
    refuse_log_changes(_given(document))
    _tell_log(exchange)


def _given(document: Document) -> list[str]:
    """Those that are to have a value; null asks for the default."""
    return [name for name, value in document.items() if value is not None]


def _no_regions(exchange: Exchange) -> None:
    exchange.respond(200, OK_JSON, b"[]")


def _refuse_region(document: Document, exchange: Exchange) -> None:
    answer_error(exchange, disabled())


def _answer(exchange: Exchange, told: Callable[[], object]) -> None:
    try:
        body = orjson.dumps(told())
    except GatewayError as error:
        answer_error(exchange, error)
        return
    exchange.respond(200, OK_JSON, body)
