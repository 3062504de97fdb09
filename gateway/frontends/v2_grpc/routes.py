"""Paths of gRPC to endpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

from gateway.core.errors import GatewayError, Unsupported
from gateway.frontends.v2_grpc.endpoints import (
    SMALL_MESSAGE_BYTES,
    Call,
    CallFormat,
    Fixed,
    Infer,
    Streaming,
    Tools,
    Unary,
)
from gateway.frontends.v2_grpc.errors import answer_error
from gateway.frontends.v2_grpc.fixed import FixedExtensions
from gateway.frontends.v2_grpc.framing import parse_timeout
from gateway.frontends.v2_grpc.health import Health
from gateway.frontends.v2_grpc.metadata import Metadata
from gateway.frontends.v2_grpc.reflection import Reflection
from gateway.frontends.v2_grpc.repository import EXTENSIONS as REPOSITORY_EXTENSIONS
from gateway.frontends.v2_grpc.repository import RepositoryCalls
from gateway.frontends.v2_grpc.setting_calls import EXTENSIONS as SETTING_EXTENSIONS
from gateway.frontends.v2_grpc.setting_calls import SettingCalls
from gateway.frontends.v2_grpc.statistics import tell_statistics
from gateway.frontends.v2_grpc.stream import Streams
from gateway.wire.exchange import Endpoint, Exchange, Head, Headers, Receiver

# 4,096 endpoints with keys of 300 bytes at most: 2 MB, whatever heads are tried.
_CACHED_ENDPOINTS = 4096
_CACHED_KEY_BYTES = 300

_CONTENT = b"content-type"
_TIMEOUT = b"grpc-timeout"
_ENCODING = b"grpc-encoding"
_ACCEPT = b"grpc-accept-encoding"
_RELEVANT = frozenset({_CONTENT, _TIMEOUT, _ENCODING, _ACCEPT})
_INFER = b"/inference.GRPCInferenceService/ModelInfer"
_STREAM_INFER = b"/inference.GRPCInferenceService/ModelStreamInfer"
# Of all messages of a stream together; each has the limit of a call.
_UNBOUNDED = 1 << 62
_LOAD = b"/inference.GRPCInferenceService/RepositoryModelLoad"
_COMPRESSED = {None: "", b"identity": "", b"gzip": "gzip", b"deflate": "deflate"}
_CODINGS: Headers = ((_ACCEPT, b"identity,gzip,deflate"),)
_TEXT: Headers = ((b"content-type", b"text/plain; charset=utf-8"),)

Begin = Callable[[Exchange, str, int], Receiver]


class Grpc:
    """Serves gRPC calls; implements `Service`. Whoever makes this refreshes `health`, finishes `streams`."""

    def __init__(
        self, tools: Tools, server_name: str, server_version: str, extensions: tuple[str, ...] = ()
    ) -> None:
        self._tools = tools
        self.health = Health(tools.service)
        repository = RepositoryCalls(tools.repository)
        settings = SettingCalls(tools.service, tools.observing)
        extensions += (
            *(REPOSITORY_EXTENSIONS if tools.repository.is_permitted else ()),
            *(SETTING_EXTENSIONS if tools.observing.is_permitted else ()),
        )
        metadata = Metadata(tools.service, server_name, server_version, extensions)
        self._unary: dict[bytes, Call] = {
            b"/inference.GRPCInferenceService/ServerLive": metadata.server_live,
            b"/inference.GRPCInferenceService/ServerReady": metadata.server_ready,
            b"/inference.GRPCInferenceService/ServerMetadata": metadata.server_metadata,
            b"/inference.GRPCInferenceService/ModelReady": metadata.model_ready,
            b"/inference.GRPCInferenceService/ModelMetadata": metadata.model_metadata,
            b"/inference.GRPCInferenceService/ModelConfig": metadata.model_config,
            b"/inference.GRPCInferenceService/ModelStatistics": partial(tell_statistics, tools.service),
            **{
                b"/inference.GRPCInferenceService/" + name.encode(): call
                for name, call in FixedExtensions().calls().items()
            },
            b"/inference.GRPCInferenceService/TraceSetting": settings.trace,
            b"/inference.GRPCInferenceService/LogSettings": settings.log,
            b"/inference.GRPCInferenceService/RepositoryIndex": repository.index,
            _LOAD: repository.load,
            b"/inference.GRPCInferenceService/RepositoryModelUnload": repository.unload,
            b"/grpc.health.v1.Health/Check": self.health.check,
            b"/grpc.health.v1.Health/List": self.health.list,
        }
        self.streams = Streams(tools)
        self._streaming: dict[bytes, Begin] = {
            _STREAM_INFER: self.streams.begin,
            b"/grpc.health.v1.Health/Watch": self.health.begin_watch,
            b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Reflection,
            b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Reflection,
        }
        self.paths = frozenset({_INFER, *self._unary, *self._streaming})
        self._endpoints: dict[tuple[bytes | str | None, ...], Endpoint] = {}

    def route(self, head: Head) -> Endpoint:
        content = timeout = encoding = accept = None
        for name, value in head.headers:
            if name in _RELEVANT:
                if name == _CONTENT:
                    content = value
                elif name == _TIMEOUT:
                    timeout = value
                elif name == _ENCODING:
                    encoding = value
                else:
                    accept = value
        key = (head.path, head.method, head.http_version, content, timeout, encoding, accept)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            endpoint = self._find(head, content, timeout, encoding, accept)
            if isinstance(endpoint, Infer) and sum(len(part) for part in key if part) <= _CACHED_KEY_BYTES:
                if len(self._endpoints) >= _CACHED_ENDPOINTS:
                    self._endpoints.clear()
                self._endpoints[key] = endpoint
        return endpoint

    def _find(
        self,
        head: Head,
        content: bytes | None,
        timeout: bytes | None,
        encoding: bytes | None,
        accept: bytes | None,
    ) -> Endpoint:
        if head.http_version != "2" or not is_grpc(content):
            return Fixed(_wrong_media, SMALL_MESSAGE_BYTES)
        if head.method != b"POST":
            return Fixed(_not_allowed, SMALL_MESSAGE_BYTES)
        try:
            how = self._format(timeout, encoding, accept)
        except GatewayError as error:
            return self._refusal(error)
        path = head.path
        if path == _INFER:
            return Infer(self._tools, how)
        if path in self._unary:
            limit = self._tools.settings.max_load_bytes if path == _LOAD else SMALL_MESSAGE_BYTES
            return Unary(self._tools, how, self._unary[path], limit)
        if path in self._streaming:
            begin, max_ratio = self._streaming[path], self._tools.settings.max_inflation
            limit = _UNBOUNDED if path == _STREAM_INFER else self._max_body()
            return Streaming(lambda exchange: begin(exchange, how.coding, max_ratio), limit)
        return self._refusal(Unsupported("unknown service or method"))

    def _format(self, timeout: bytes | None, encoding: bytes | None, accept: bytes | None) -> CallFormat:
        """What the headers say; raises InvalidInput or Unsupported."""
        if encoding not in _COMPRESSED:
            raise Unsupported("grpc-encoding must be identity, gzip or deflate")
        accepts_gzip = accept is not None and b"gzip" in [coding.strip() for coding in accept.split(b",")]
        return CallFormat(
            _COMPRESSED[encoding],
            "gzip" if accepts_gzip and self._tools.settings.compress_responses else "",
            inf if timeout is None else parse_timeout(timeout),
        )

    def _refusal(self, error: GatewayError) -> Endpoint:
        extra = _CODINGS if isinstance(error, Unsupported) else ()
        return Fixed(partial(self._refuse, error, extra), self._max_body())

    def _refuse(self, error: GatewayError, extra: Headers, exchange: Exchange) -> None:
        self._tools.service.refused("grpc", error)
        answer_error(exchange, error, extra)

    def _max_body(self) -> int:
        return self._tools.settings.max_message_bytes


def is_grpc(content: bytes | None) -> bool:
    """True for the media types of gRPC with protobuf messages."""
    if content is None or not content.startswith(b"application/grpc"):
        return False
    rest = content[len(b"application/grpc") :]
    return not rest or rest.startswith((b";", b"+proto"))


def _wrong_media(exchange: Exchange) -> None:
    exchange.respond(415, _TEXT, b"gRPC is POST over HTTP/2 with content-type application/grpc\n")


def _not_allowed(exchange: Exchange) -> None:
    exchange.respond(405, (*_TEXT, (b"allow", b"POST")), b"gRPC calls are POST\n")
