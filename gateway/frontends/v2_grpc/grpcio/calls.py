"""Calls of grpcio to endpoints.

DESIGN: every call is taken in the stream-to-stream form, whatever it is, and its messages are given to
the endpoint as the bytes they were on the network. grpcio's unary form would save a read per call, but
it never ends a call that sends no message, and drops a second one in silence; here the same code as on
the native engine refuses both, in the same words. A large message must be copied once, behind its
prefix; it is copied into the memory that workers see, so that it need not be copied again.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc
import grpc.aio

from gateway.core.errors import TooLarge
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.frontends.v2_grpc.framing import PREFIX, PREFIX_BYTES, frame
from gateway.frontends.v2_grpc.grpcio.exchange import Context, GrpcioExchange
from gateway.wire.exchange import BodyMemory, Endpoint, Head, Headers, Peer, Receiver, Service
from gateway.wire.settings import WireSettings

_logger = logging.getLogger(__name__)

_CONTENT: Headers = ((b"content-type", b"application/grpc"),)
# grpc-timeout has eight digits: milliseconds up to 27 h. Finer only where it counts, for endpoints are
# remembered by it, and no two calls of a client have the same microseconds left.
_UNITS = ((b"u", 1e6, 0.1), (b"m", 1e3, 99_999.0))
_LONGEST_S = 99_999_999
# The core ends a call at its deadline, and clients reset theirs, which was a journey earlier.
_OVER_S = 0.05


class CallSettings(NamedTuple):
    """What calls need to know."""

    scheme: bytes
    shared_body_bytes: int
    write_buffer_bytes: int

    @classmethod
    def of(cls, wire: WireSettings, *, is_secure: bool) -> CallSettings:
        scheme = b"https" if is_secure else b"http"
        return cls(scheme, wire.shared_body_bytes, wire.write_buffer_bytes)


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves every method by `service`. Invariant: `peers` counts the open calls of each peer."""

    def __init__(self, service: Service, settings: CallSettings, memory: BodyMemory | None) -> None:
        self._service = service
        self._settings = settings
        self._memory = memory
        self.peers: Counter[str] = Counter()

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call; there is one for every method, known or not."""
        return grpc.stream_stream_rpc_method_handler(partial(self._serve, handler_call_details.method))

    async def _serve(self, method: str, _: object, context: Context) -> None:
        peer = context.peer()
        self.peers[peer] += 1
        try:
            await self._answer(method, context, peer)
        finally:
            self.peers[peer] -= 1
            if not self.peers[peer]:
                del self.peers[peer]

    async def _answer(self, method: str, context: Context, peer: str) -> None:
        head = make_head(method, context, self._settings.scheme)
        endpoint = self._service.route(head)
        caller = Peer(parse_peer(peer), _subject(context))
        exchange = GrpcioExchange(head, caller, self._settings.write_buffer_bytes)
        try:
            if endpoint.whole:
                await self._collect(context, exchange, endpoint)
                await exchange.deliver(context)
            else:
                await self._converse(context, exchange, endpoint)
        except asyncio.CancelledError:
            # What takes whole bodies keeps deadlines itself: it is not told of one as of a client gone,
            # so that the request's record tells the one from the other.
            if not (endpoint.whole and _is_over(context)):
                exchange.gone()
            raise

    # ---- whole bodies ----------------------------------------------------------------------------

    async def _collect(self, context: Context, exchange: GrpcioExchange, endpoint: Endpoint) -> None:
        """Hands a call's one message to `endpoint`; none or more than one it must refuse itself."""
        messages: list[bytes] = []
        while len(messages) < 2 and (message := await context.read()) is not grpc.aio.EOF:
            messages.append(message)
        size = sum(map(len, messages)) + PREFIX_BYTES * len(messages)
        if size > endpoint.max_body_bytes:
            limit = endpoint.max_body_bytes
            endpoint.refuse(exchange, TooLarge(f"the body is over the limit of {limit} bytes"))
            return
        body, lease = self._body(messages, size, endpoint, exchange.head)
        try:
            endpoint.handle(exchange, body, lease)
        except Exception:
            _logger.exception("an endpoint failed to handle a call")
            exchange.abort()

    def _body(
        self, messages: list[bytes], size: int, endpoint: Endpoint, head: Head
    ) -> tuple[Buffer, Lease | None]:
        if self._memory is not None and size >= self._settings.shared_body_bytes and len(messages) == 1:
            room = self._memory.allocate(size, endpoint.payload_offset(head))
            if room is not None:
                view, lease = room
                PREFIX.pack_into(view, 0, 0, len(messages[0]))
                view[PREFIX_BYTES:size] = messages[0]
                return view, lease
        return b"".join(map(frame, messages)), None

    # ---- streams ---------------------------------------------------------------------------------

    async def _converse(self, context: Context, exchange: GrpcioExchange, endpoint: Endpoint) -> None:
        receiver = endpoint.open(exchange)
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(_hear(context, exchange, receiver), name="grpcio.hear")
            await exchange.deliver(context)
            hearing.cancel()


async def _hear(context: Context, exchange: GrpcioExchange, receiver: Receiver) -> None:
    """Hands the messages of a call to `receiver` until they end."""
    try:
        while True:
            await exchange.wait_until_readable()
            message = await context.read()
            if message is grpc.aio.EOF:
                receiver.on_end()
                return
            receiver.on_data(frame(message))
    except Exception:
        _logger.exception("an endpoint failed to take a message")
        exchange.abort()


def make_head(method: str, context: Context, scheme: bytes) -> Head:
    """The call as the head it had; without codings, which are grpcio's business."""
    headers = list(_CONTENT)
    remaining_s = context.time_remaining()
    if remaining_s is not None:
        headers.append((b"grpc-timeout", timeout(remaining_s)))
    for name, value in context.invocation_metadata() or ():
        text = value.encode("utf-8") if isinstance(value, str) else base64.b64encode(value)
        headers.append((name.encode(), text))
    return Head(b"POST", method.encode(), tuple(headers), http_version="2", scheme=scheme)


def timeout(remaining_s: float) -> bytes:
    """`remaining_s` as grpc-timeout has it, at most a hundredth too short."""
    for unit, per_second, below_s in _UNITS:
        if remaining_s < below_s:
            return b"%d%s" % (max(int(remaining_s * per_second), 0), unit)
    return b"%dS" % min(int(remaining_s), _LONGEST_S)


def parse_peer(peer: str) -> tuple[str, int] | None:
    """The address in grpcio's name of a peer; None for what is no address of the internet."""
    family, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if family not in {"ipv4", "ipv6"} or not port.isdigit():
        return None
    return host.strip("[]"), int(port)


def _subject(context: Context) -> str | None:
    """The common name of a verified client certificate."""
    names = context.auth_context().get("x509_common_name", [])
    return names[0].decode("utf-8", "replace") if names else None


def _is_over(context: Context) -> bool:
    remaining_s = context.time_remaining()
    return remaining_s is not None and remaining_s <= _OVER_S
