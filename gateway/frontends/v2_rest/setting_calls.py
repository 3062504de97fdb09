"""The trace and logging extensions over HTTP: /v2[/models/{model}]/trace/setting and /v2/logging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import unquote_to_bytes

import orjson

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.messages import Ticket
from gateway.core.model import check_name
from gateway.frontends.observing import read_log, read_trace, tell_log, tell_trace
from gateway.frontends.v2_rest.endpoints import OK_JSON, Simple
from gateway.frontends.v2_rest.errors import answer_error
from gateway.frontends.v2_rest.post import Document, Post
from gateway.pipeline.observing import Changed, Observing
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Endpoint, Exchange

EXTENSIONS = ("trace", "logging")


class SettingCalls:
    """The settings of one gateway, read and changed through one front."""

    def __init__(self, service: InferenceService, observing: Observing) -> None:
        self._service = service
        self._observing = observing

    def find(self, path: list[bytes]) -> Mapping[bytes, Endpoint] | None:
        """The endpoints by method of a path's segments below /v2; None where it is another's."""
        match path:
            case [b"logging"]:
                return {b"GET": Simple(self._tell_log, answer_error), b"POST": Post(self._set_log)}
            case [b"trace", b"setting"]:
                return self._trace("")
            case [b"models", model, b"trace", b"setting"]:
                return self._trace(unquote_to_bytes(model).decode(errors="replace"))
        return None

    def _trace(self, model: str) -> Mapping[bytes, Endpoint]:
        return {
            b"GET": Simple(partial(self._tell_trace, model), answer_error),
            b"POST": Post(partial(self._set_trace, model)),
        }

    def _tell_trace(self, model: str, exchange: Exchange) -> None:
        try:
            self._check(model, exchange)
        except GatewayError as error:
            answer_error(exchange, error)
            return
        told = tell_trace(self._observing, model)
        _send(exchange, {name: texts if name == "trace_level" else texts[0] for name, texts in told.items()})

    def _set_trace(self, model: str, document: Document, exchange: Exchange) -> None:
        self._check(model, exchange)
        change = read_trace({name: _texts(name, value) for name, value in document.items()})
        then = partial(self._tell_trace, model, exchange)
        if not document:
            then()
            return
        _hold(exchange, self._observing.change_trace(model, change, _told(exchange, then)))

    def _check(self, model: str, exchange: Exchange) -> None:
        """Raises ModelNotFound, or InvalidInput for what can be no name."""
        if model:
            self._service.is_model_ready(check_name(model), 0, exchange.caller)

    def _tell_log(self, exchange: Exchange) -> None:
        _send(exchange, tell_log(self._observing))

    def _set_log(self, document: Document, exchange: Exchange) -> None:
        change = read_log(document)
        then = partial(self._tell_log, exchange)
        if not document:
            then()
            return
        _hold(exchange, self._observing.change_log(change, _told(exchange, then)))


def _texts(name: str, value: object) -> list[str]:
    """A value as texts: JSON has lists, texts and numbers for them, and null for none."""
    if value is None:
        return []
    texts = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, bool) or not isinstance(one, (str, int)):
            raise InvalidInput(f"trace setting '{name}' must be a text, a list of texts, or null")
        texts.append(str(one))
    return texts


def _told(exchange: Exchange, then: Callable[[], None]) -> Changed:
    def told(error: GatewayError | None) -> None:
        if error is None:
            then()
        else:
            answer_error(exchange, error)

    return told


def _hold(exchange: Exchange, ticket: Ticket | None) -> None:
    if ticket is not None:
        exchange.on_gone = ticket.cancel


def _send(exchange: Exchange, told: object) -> None:
    exchange.respond(200, OK_JSON, orjson.dumps(told))
