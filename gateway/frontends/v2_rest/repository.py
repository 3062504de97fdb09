"""The model repository extension over HTTP: POST /v2/repository/index and …/models/{model}/load, unload."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from functools import partial

import orjson

from gateway.control.questions import IndexEntry, ModelFile
from gateway.core.errors import GatewayError, InvalidInput, Unsupported
from gateway.core.messages import Lease, Ticket
from gateway.core.tensor import Buffer
from gateway.frontends.codings import inflate
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.parameters import read_flag
from gateway.frontends.v2_rest.document import check_keys, load
from gateway.frontends.v2_rest.errors import JSON, answer_error
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.pipeline.control import RepositoryService
from gateway.wire.exchange import Endpoint, Exchange, Head, Receiver

EXTENSIONS = ("model_repository", "model_repository(unload_dependents)")
NOT_BY_NAME = "'repository_name' specification is not supported"

_SMALL_BYTES = 64 << 10
_FILE = "file:"

Document = Mapping[str, object]
# Acts on a request's document; returns what can be cancelled.
Call = Callable[[Exchange, Document], Ticket | None]


class Posted:
    """An endpoint whose body is one JSON object, or nothing."""

    __slots__ = ("_call", "_coding", "_max_inflation", "max_body_bytes")

    whole = True

    def __init__(self, call: Call, max_body_bytes: int, coding: str, max_inflation: int) -> None:
        self._call = call
        self._coding = coding
        self._max_inflation = max_inflation
        self.max_body_bytes = max_body_bytes

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        try:
            if self._coding:
                body = inflate(body, self._coding, self.max_body_bytes, self._max_inflation)
            ticket = self._call(exchange, _read(bytes(body)))
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here costs one request, no connection
            answer_error(exchange, as_gateway_error(error))
            return
        finally:
            if lease is not None:
                lease.release()
        if ticket is not None:
            exchange.on_gone = ticket.cancel

    def open(self, exchange: Exchange) -> Receiver:
        raise NotImplementedError("this endpoint takes whole bodies")

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        answer_error(exchange, error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return None

    def payload_offset(self, head: Head) -> int:
        return 0


class RepositoryCalls:
    """Model control of one front."""

    def __init__(self, service: RepositoryService, settings: RestSettings) -> None:
        self._service = service
        self._settings = settings

    def endpoint(self, action: bytes, model: str, coding: str) -> Endpoint:
        """What answers POSTs of "index" (then `model` is ""), "load" or "unload"."""
        calls: Mapping[bytes, Call] = {
            b"index": self._index,
            b"load": partial(self._load, model),
            b"unload": partial(self._unload, model),
        }
        limit = self._settings.max_load_bytes if action == b"load" else _SMALL_BYTES
        return Posted(calls[action], limit, coding, self._settings.max_inflation)

    def _index(self, exchange: Exchange, document: Document) -> Ticket | None:
        ready = document.get("ready", False)
        return self._service.index(
            partial(_list, exchange), ready_only=read_flag("repository index", "ready", ready)
        )

    def _load(self, model: str, exchange: Exchange, document: Document) -> Ticket | None:
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
        return self._service.load(model, config, tuple(files), partial(_tell, exchange))

    def _unload(self, model: str, exchange: Exchange, document: Document) -> Ticket | None:
        dependents = False
        for key, value in _parameters(document).items():
            if key != "unload_dependents":
                raise InvalidInput(f"an unload has no parameter '{key}'")
            dependents = read_flag("parameter", key, value)
        return self._service.unload(model, partial(_tell, exchange), unload_dependents=dependents)


def repository_is_named(exchange: Exchange) -> None:
    """Answers a request for one repository of several: they are one here."""
    answer_error(exchange, Unsupported(NOT_BY_NAME))


def _read(body: bytes) -> Document:
    if not body.strip():
        return {}
    document = load(body)
    check_keys(body, document, 0)
    if not isinstance(document, dict):
        raise InvalidInput("the request JSON must be an object")
    return document


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
