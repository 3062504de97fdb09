"""Paths of V2 REST to endpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import unquote_to_bytes

import orjson

from gateway.core.errors import GatewayError, InvalidInput, ModelUnavailable, Unsupported
from gateway.core.model import check_name, parse_version
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_rest.binary import parse_header_length
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.compression import accepted_coding, content_coding
from gateway.frontends.v2_rest.echoes import EVENT_ID, REQUEST_ID, echoing
from gateway.frontends.v2_rest.endpoints import OK_JSON, Infer, InferFormat, Simple, Tools
from gateway.frontends.v2_rest.errors import JSON, answer_error, error_body
from gateway.frontends.v2_rest.fixed import ByMethod, FixedExtensions
from gateway.frontends.v2_rest.generate import decode_generate
from gateway.frontends.v2_rest.generated import answer_events, answer_one
from gateway.frontends.v2_rest.metadata import model_metadata, server_metadata
from gateway.frontends.v2_rest.model_config import model_config
from gateway.frontends.v2_rest.openapi import openapi
from gateway.frontends.v2_rest.raw import decode_raw, encode_raw
from gateway.frontends.v2_rest.repository import EXTENSIONS as REPOSITORY_EXTENSIONS
from gateway.frontends.v2_rest.repository import RepositoryCalls, repository_is_named
from gateway.frontends.v2_rest.setting_calls import EXTENSIONS as SETTING_EXTENSIONS
from gateway.frontends.v2_rest.setting_calls import SettingCalls
from gateway.frontends.v2_rest.signed import Signed, answering
from gateway.frontends.v2_rest.statistics import tell_statistics
from gateway.pipeline.service import ModelDescription
from gateway.wire.exchange import Endpoint, Exchange, Head, Headers

Answer = Callable[[Exchange], None]

# 4,096 endpoints with keys of 1 KiB at most: 5 MB, whatever paths are tried.
_CACHED_ENDPOINTS = 4096
_CACHED_KEY_BYTES = 1024

_LENGTH = b"inference-header-content-length"
_ENCODING = b"content-encoding"
_ACCEPT = b"accept-encoding"
_RELEVANT = frozenset({_LENGTH, _ENCODING, _ACCEPT, REQUEST_ID, EVENT_ID})
_NOT_FOUND = error_body("Not Found")
_NOT_ALLOWED = error_body("Method Not Allowed")
# For whoever sent a coding that is not known here.
_CODINGS: Headers = ((b"accept-encoding", b"gzip, deflate"),)


class Rest:
    """Serves the paths /v2 and /v2/…; implements `Service`."""

    def __init__(
        self, tools: Tools, server_name: str, server_version: str, extensions: tuple[str, ...] = ()
    ) -> None:
        self._tools = tools
        self._server_version = server_version
        self._extensions = FixedExtensions()
        self._settings = SettingCalls(tools.service, tools.observing)
        self._repository = RepositoryCalls(tools.repository, tools.settings)
        extensions += (
            *(REPOSITORY_EXTENSIONS if tools.repository.is_permitted else ()),
            *(SETTING_EXTENSIONS if tools.observing.is_permitted else ()),
        )
        self._fixed: dict[bytes, Answer] = {
            b"/v2": partial(_send, body=server_metadata(server_name, server_version, extensions)),
            b"/v2/models/stats": partial(tell_statistics, tools.service, "", 0),
            b"/v2/health/live": partial(_health, "live", tools.service.is_live),
            b"/v2/health/ready": partial(_health, "ready", tools.service.is_ready),
        }
        self._abouts = {b"config": self._config, b"ready": self._ready, b"stats": self._statistics}
        self._endpoints: dict[tuple[bytes, bytes, bytes | None, bytes | None, bytes | None], Endpoint] = {}

    def route(self, head: Head) -> Endpoint:
        length = encoding = accept = None
        has_echo = False
        for name, value in head.headers:
            if name in _RELEVANT:
                if name == _LENGTH:
                    length = value
                elif name == _ENCODING:
                    encoding = value
                elif name == _ACCEPT:
                    accept = value
                else:
                    has_echo = True
        key = (head.method, head.path, length, encoding, accept)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            endpoint = self._find(head, length, encoding, accept)
            if isinstance(endpoint, Infer) and sum(len(part) for part in key if part) <= _CACHED_KEY_BYTES:
                if len(self._endpoints) >= _CACHED_ENDPOINTS:
                    self._endpoints.clear()
                self._endpoints[key] = endpoint
        return echoing(head, endpoint) if has_echo else endpoint

    def _find(
        self, head: Head, length: bytes | None, encoding: bytes | None, accept: bytes | None
    ) -> Endpoint:
        fixed = self._fixed.get(head.path)
        if fixed is not None:
            return _simple(_only(b"GET", head, fixed))
        try:
            match head.path.split(b"/")[2:]:
                case [b"models", model]:
                    return self._about(head, self._metadata, model, b"")
                case [b"models", model, b"versions", version]:
                    return self._about(head, self._metadata, model, version)
                case [b"models", model, (b"config" | b"ready" | b"stats") as what]:
                    return self._about(head, self._abouts[what], model, b"")
                case [b"models", model, b"versions", version, (b"config" | b"ready" | b"stats") as what]:
                    return self._about(head, self._abouts[what], model, version)
                case [b"models", model, b"infer"]:
                    return self._infer(head, _target(model, b""), length, encoding, accept)
                case [b"models", model, b"versions", version, b"infer"]:
                    return self._infer(head, _target(model, version), length, encoding, accept)
            return self._find_extension(head, encoding)
        except GatewayError as error:
            return self._refusal(error)

    def _find_extension(self, head: Head, encoding: bytes | None) -> Endpoint:
        path = head.path.split(b"/")[2:]
        match path:
            case [b"models", model, (b"generate" | b"generate_stream") as how]:
                return self._generate(head, _target(model, b""), encoding, how)
            case [b"models", model, b"versions", version, (b"generate" | b"generate_stream") as how]:
                return self._generate(head, _target(model, version), encoding, how)
            case [b"models", model, b"docs"] | [b"models", model, b"docs", b"dataplane.json"]:
                return self._about(head, self._docs, model, b"")
            case [b"models", model, b"versions", version, b"docs"]:
                return self._about(head, self._docs, model, version)
            case [b"repository", *rest]:
                return self._control(head, rest, encoding)
        return _of_method(head.method, self._settings.find(path) or self._extensions.find(path))

    def _about(
        self, head: Head, answer: Callable[[Target, Exchange], None], model: bytes, version: bytes
    ) -> Endpoint:
        return _simple(_only(b"GET", head, partial(answer, _target(model, version))))

    def _infer(
        self,
        head: Head,
        target: Target,
        length: bytes | None,
        encoding: bytes | None,
        accept: bytes | None,
    ) -> Endpoint:
        if head.method != b"POST":
            return _simple(partial(_not_allowed, b"POST"))
        coding = content_coding(encoding)
        if coding is None:
            return self._refusal(Unsupported("Unsupported compression type"), _CODINGS)
        header_length = None if length is None else parse_header_length(length)
        if header_length == 0:
            return Signed(self._tools, target, coding, decode_raw, answering(encode_raw))
        how = InferFormat(header_length, coding, accepted_coding(accept))
        sized = target._replace(max_json_bytes=self._tools.settings.max_json_bytes)
        return Infer(self._tools, sized, how)

    def _generate(self, head: Head, target: Target, encoding: bytes | None, how: bytes) -> Endpoint:
        if head.method != b"POST":
            return _simple(partial(_not_allowed, b"POST"))
        if content_coding(encoding) != "":
            raise InvalidInput("generate takes no compressed bodies")
        sized = target._replace(max_json_bytes=self._tools.settings.max_json_bytes)
        begin = answer_events if how == b"generate_stream" else answer_one
        return Signed(self._tools, sized, "", decode_generate, begin)

    def _control(self, head: Head, path: list[bytes], encoding: bytes | None) -> Endpoint:
        match path:
            case [b"index"]:
                action, model = path[0], ""
            case [b"models", name, b"load" | b"unload"]:
                action, model = path[2], _target(name, b"").model
            case [_, b"index"] | [_, b"models", _, b"load" | b"unload"]:
                return _simple(_only(b"POST", head, repository_is_named))
            case _:
                return _simple(_not_found)
        coding = content_coding(encoding)
        if head.method != b"POST":
            return _simple(partial(_not_allowed, b"POST"))
        if coding is None:
            return self._refusal(Unsupported("Unsupported compression type"), _CODINGS)
        return self._repository.endpoint(action, model, coding)

    def _refusal(self, error: GatewayError, extra: Headers = ()) -> Endpoint:
        """An endpoint that refuses whatever is sent to it, because of its head."""
        return _simple(partial(self._refuse, error, extra))

    def _refuse(self, error: GatewayError, extra: Headers, exchange: Exchange) -> None:
        self._tools.service.refused("rest", error)
        answer_error(exchange, error, extra)

    def _metadata(self, target: Target, exchange: Exchange) -> None:
        self._describe(target, model_metadata, exchange)

    def _config(self, target: Target, exchange: Exchange) -> None:
        self._describe(target, model_config, exchange)

    def _describe(
        self, target: Target, tell: Callable[[ModelDescription], bytes], exchange: Exchange
    ) -> None:
        described = partial(_described, exchange, tell)
        self._tools.service.describe(target.model, target.version, described, exchange.caller)

    def _docs(self, target: Target, exchange: Exchange) -> None:
        self._describe(target, partial(openapi, self._server_version, target.version), exchange)

    def _statistics(self, target: Target, exchange: Exchange) -> None:
        tell_statistics(self._tools.service, target.model, target.version, exchange)

    def _ready(self, target: Target, exchange: Exchange) -> None:
        try:
            ready = self._tools.service.is_model_ready(target.model, target.version, exchange.caller)
        except GatewayError as error:
            answer_error(exchange, error)
            return
        if ready:
            _send(exchange, orjson.dumps({"name": target.model, "ready": True}))
        else:
            answer_error(exchange, ModelUnavailable("Model version not ready"))


def _target(model: bytes, version: bytes) -> Target:
    """What percent-encoded path segments name; raises InvalidInput."""
    try:
        name, number = unquote_to_bytes(model).decode(), unquote_to_bytes(version).decode()
    except UnicodeDecodeError:
        raise InvalidInput("a path must be UTF-8") from None
    return Target(check_name(name), parse_version(number))


def _simple(answer: Answer) -> Simple:
    """An endpoint with one answer, to whatever is sent: also to what wire would refuse."""
    return Simple(answer, answer_error)


def _only(method: bytes, head: Head, answer: Answer) -> Answer:
    return answer if head.method == method else partial(_not_allowed, method)


def _of_method(method: bytes, endpoints: ByMethod | None) -> Endpoint:
    if endpoints is None:
        return _simple(_not_found)
    return endpoints.get(method) or _simple(partial(_not_allowed, b", ".join(endpoints)))


def _send(exchange: Exchange, body: bytes) -> None:
    exchange.respond(200, OK_JSON, body)


def _health(what: str, is_well: Callable[[], bool], exchange: Exchange) -> None:
    well = is_well()
    exchange.respond(200 if well else 503, OK_JSON, orjson.dumps({what: well}))


def _described(
    exchange: Exchange, tell: Callable[[ModelDescription], bytes], result: ModelDescription | GatewayError
) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
        return
    try:
        body = tell(result)
    except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer
        answer_error(exchange, as_gateway_error(error))
        return
    _send(exchange, body)


def _not_found(exchange: Exchange) -> None:
    exchange.respond(404, OK_JSON, _NOT_FOUND)


def _not_allowed(method: bytes, exchange: Exchange) -> None:
    exchange.respond(405, (JSON, (b"allow", method)), _NOT_ALLOWED)
