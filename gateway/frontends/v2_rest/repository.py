"""The model repository extension over HTTP: POST /v2/repository/index and …/models/{model}/load, unload."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import partial

import orjson

from gateway.control.questions import IndexEntry, ModelFile
from gateway.core.errors import GatewayError, InvalidInput, Unsupported
from gateway.core.messages import Ticket
from gateway.frontends.parameters import read_flag
from gateway.frontends.v2_rest.errors import JSON, answer_error
from gateway.frontends.v2_rest.post import SMALL_BODY_BYTES, Document, Post
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.pipeline.control import RepositoryService
from gateway.wire.exchange import Endpoint, Exchange

EXTENSIONS = ("model_repository", "model_repository(unload_dependents)")
NOT_BY_NAME = "'repository_name' specification is not supported"

_FILE = "file:"


class RepositoryCalls:
    """Model control of one front."""

    def __init__(self, service: RepositoryService, settings: RestSettings) -> None:
        self._service = service
        self._settings = settings

    def endpoint(self, action: bytes, model: str, coding: str) -> Endpoint:
        """What answers POSTs of "index" (then `model` is ""), "load" or "unload"."""
        calls: dict[bytes, Callable[[Document, Exchange], None]] = {
            b"index": self._index,
            b"load": partial(self._load, model),
            b"unload": partial(self._unload, model),
        }
        limit = self._settings.max_load_bytes if action == b"load" else SMALL_BODY_BYTES
        return Post(calls[action], limit, coding, self._settings.max_inflation)

    def _index(self, document: Document, exchange: Exchange) -> None:
        ready = read_flag("repository index", "ready", document.get("ready", False))
        _hold(
            exchange, self._service.index(partial(_list, exchange), ready_only=ready, caller=exchange.caller)
        )

    def _load(self, model: str, document: Document, exchange: Exchange) -> None:
        config: str | None = None
        files: list[ModelFile] = []
        for key, value in _parameters(document).items():
            if not isinstance(value, str):
                raise InvalidInput(f"parameter '{key}' must be a string")
            if key == "config":
                config = value
            elif key.startswith(_FILE):
                files.append(ModelFile(key.removeprefix(_FILE), _from_base64(key, value)))
            else:
                raise InvalidInput(f"a load has no parameter '{key}'")
        told = partial(_tell, exchange)
        _hold(exchange, self._service.load(model, config, tuple(files), told, caller=exchange.caller))

    def _unload(self, model: str, document: Document, exchange: Exchange) -> None:
        dependents = False
        for key, value in _parameters(document).items():
            if key != "unload_dependents":
                raise InvalidInput(f"an unload has no parameter '{key}'")
            dependents = read_flag("parameter", key, value)
        told = partial(_tell, exchange)
        _hold(
            exchange, self._service.unload(model, told, unload_dependents=dependents, caller=exchange.caller)
        )


def repository_is_named(exchange: Exchange) -> None:
    """Answers a request for one repository of several: they are one here."""
    answer_error(exchange, Unsupported(NOT_BY_NAME))


def _hold(exchange: Exchange, ticket: Ticket | None) -> None:
    if ticket is not None:
        exchange.on_gone = ticket.cancel


def _parameters(document: Document) -> Document:
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInput("'parameters' must be an object")
    return parameters


def _from_base64(key: str, text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True) if text else b""
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidInput(f"parameter '{key}' is not base64") from None


def _list(exchange: Exchange, result: tuple[IndexEntry, ...] | GatewayError) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
        return
    told = [
        {
            "name": one.name,
            "version": str(one.version) if one.version else "",
            "state": one.state,
            "reason": one.reason,
        }
        for one in result
    ]
    exchange.respond(200, (JSON,), orjson.dumps(told))


def _tell(exchange: Exchange, error: GatewayError | None) -> None:
    if error is not None:
        answer_error(exchange, error)
    else:
        exchange.respond(200, ())
