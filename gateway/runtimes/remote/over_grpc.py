"""The way to an upstream over gRPC, with grpcio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import grpc.aio

from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, LoadError
from gateway.runtimes.remote import grpc_codec
from gateway.runtimes.remote.credentials import Tls
from gateway.runtimes.remote.description import Described
from gateway.runtimes.remote.faults import Fault, Kind, kind_of_grpc, seconds
from gateway.runtimes.remote.target import Target
from gateway.runtimes.remote.tensors import Sent

_SERVICE = "/inference.GRPCInferenceService/"
_PUSHBACK = "grpc-retry-pushback-ms"
_MAX_TEXT = 300
# The library waits up to two minutes before it tries a connection again; here the breaker does that.
_RECONNECT_MS = 200
# By the library's name for it the least wait, by what it does the most that one attempt to connect may take.
_CONNECT_MS = 5000
_BROKEN = ("Socket closed", "Cancelling all calls", "Connection reset", "Broken pipe", "GOAWAY", "keepalive")
_ADDRESS = re.compile(r"ipv[46]:|unix:|dns:|DNS|:\d{2,5}\b")


class GrpcTransport:
    """Implements transport.Transport."""

    def __init__(self, target: Target, model: str, tls: Tls | None) -> None:
        self._target = target
        self._model = model
        self._tls = tls
        self._channel: Any = None
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._calls: dict[str, Any] = {}

    async def open(self) -> None:
        """See transport.Transport."""
        options = (
            ("grpc.max_receive_message_length", self._target.max_response_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),  # one layer retries, and it is ours
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.min_reconnect_backoff_ms", _CONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
        )
        base = self._target.base
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(base, options)
            return
        tls = self._tls
        try:
            credentials = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
            self._channel = grpc.aio.secure_channel(base, credentials, options)
        except (ValueError, RuntimeError):
            raise LoadError("parameters['ca_file'] or ['cert_file']: no certificates in PEM") from None

    async def close(self) -> None:
        """See transport.Transport."""
        if self._channel is not None:
            await self._channel.close()

    def use_token(self, token: str) -> None:
        """See transport.Transport."""
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def describe(self, timeout_s: float) -> Described:
        """See transport.Transport."""
        metadata = await self._of_model("ModelMetadata", timeout_s)
        try:
            config = await self._of_model("ModelConfig", timeout_s)
        except Fault as fault:
            if fault.kind not in {Kind.MISSING, Kind.FAILED}:
                raise
            config = None  # MLServer and KServe have no such extension
        return grpc_codec.described(metadata, config)

    async def check_ready(self, timeout_s: float) -> None:
        """See transport.Transport."""
        if not grpc_codec.is_ready(await self._ask("ServerReady", b"", timeout_s), of_model=False):
            raise Fault(Kind.SHED, "it says that it is not ready")
        if not grpc_codec.is_ready(await self._of_model("ModelReady", timeout_s), of_model=True):
            raise Fault(Kind.SHED, "it says that the model is not ready")

    def encode(self, sent: Sent) -> bytes:
        """See transport.Transport."""
        return grpc_codec.encode(sent, self._model, self._target.version)

    async def send(self, encoded: bytes, wanted: Sequence[TensorSpec], timeout_s: float) -> list[Array]:
        """See transport.Transport."""
        return grpc_codec.decode(await self._ask("ModelInfer", encoded, timeout_s), wanted)

    async def _of_model(self, kind: str, timeout_s: float) -> bytes:
        return await self._ask(kind, grpc_codec.model_ask(kind, self._model, self._target.version), timeout_s)

    async def _ask(self, method: str, message: bytes, timeout_s: float) -> bytes:
        """The answer's bytes; raises Fault."""
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self._channel.unary_unary(_SERVICE + method)
        try:
            answer = await call(message, timeout=max(timeout_s, 0.001), metadata=self._metadata or None)
        except grpc.aio.AioRpcError as error:
            raise _of(error) from None
        return bytes(answer)


def _of(error: grpc.aio.AioRpcError) -> Fault:
    """What a status means."""
    trailers = {str(key): value for key, value in error.trailing_metadata() or ()}
    pushback = trailers.get(_PUSHBACK)
    text = " ".join((error.details() or "").split())[:_MAX_TEXT]
    if (own := _own_fault(error.code(), text)) is not None:
        return own
    wait_s = seconds(pushback if isinstance(pushback, str) else None, per_second=1000.0)
    return Fault(kind_of_grpc(int(error.code().value[0])), text or error.code().name, wait_s)


def _own_fault(code: grpc.StatusCode, text: str) -> Fault | None:
    """What the library says itself; it gives these a status too, and nothing but the words differs.

    Words that it has and we do not know make a fault of the upstream's, and are not told on where they
    have an address.
    """
    if code is grpc.StatusCode.UNAVAILABLE:
        if text.startswith("failed to connect"):
            return Fault(Kind.UNREACHED, "no connection")
        if any(words in text for words in _BROKEN):
            return Fault(Kind.BROKEN, "the connection broke; the request may have run")
        if _ADDRESS.search(text):
            return Fault(Kind.UNREACHED, "no connection")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        is_answer = "CLIENT: " in text
        told = "it is larger than max_response_bytes" if is_answer else "the request is too large for it"
        return Fault(Kind.UNSOUND if is_answer else Kind.REJECTED, told)
    return None
