"""Inferences whose bodies mean nothing without the model's signature: raw bytes, and plain JSON values.

The signature is asked for first, which may load the model; the hot endpoint knows nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.messages import InferRequest, InferResponse, Lease, Ticket
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer
from gateway.frontends.codings import inflate
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.endpoints import Tools
from gateway.frontends.v2_rest.errors import answer_error
from gateway.pipeline.service import InferenceService, ModelDescription
from gateway.wire.exchange import Exchange, Headers, PlainBody

# The request that a body means to a model; raises GatewayError, leaving the lease to the caller.
Decode = Callable[[ModelSpec, Target, Buffer, Lease | None, Clock], InferRequest]
# Runs a request and answers it.
Begin = Callable[[InferenceService, InferRequest, Exchange], Ticket | None]
# An answer's body and headers.
Encode = Callable[[InferResponse], tuple[bytes | tuple[Buffer, ...], Headers]]


class Signed(PlainBody):
    """A POST of one target, decoded with its signature; `coding` is the body's, "" for none."""

    __slots__ = ("_begin", "_coding", "_decode", "_identity", "_target", "_tools")

    def __init__(self, tools: Tools, target: Target, coding: str, decode: Decode, begin: Begin) -> None:
        super().__init__(tools.settings.max_body_bytes)
        self._tools = tools
        self._identity = ""
        self._target = target
        self._coding = coding
        self._decode = decode
        self._begin = begin

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        model, version, _ = self._target
        go_on = partial(self._go_on, exchange, body, lease)
        self._tools.service.describe(model, version, go_on, exchange.caller)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._tools.service.refused("rest", error)
        answer_error(exchange, error)

    @property
    def model(self) -> str:
        """Whose inference this is."""
        return self._target.model

    def under(self, identity: str) -> Signed:
        """The same for a request whose id is `identity`, unless its body says otherwise."""
        other = Signed(self._tools, self._target, self._coding, self._decode, self._begin)
        other._identity = identity
        return other

    def _go_on(
        self, exchange: Exchange, body: Buffer, lease: Lease | None, result: ModelDescription | GatewayError
    ) -> None:
        try:
            request = self._read(body, lease, result)
        except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer, and the lease goes back
            if lease is not None:
                lease.release()
            self.refuse(exchange, as_gateway_error(error))
            return
        if not exchange.is_open:  # gone while the model was loading
            if lease is not None:
                lease.release()
            return
        if self._identity and not request.id:
            request = request.under(self._identity)
        ticket = self._begin(self._tools.service, request, exchange)
        if ticket is not None:
            exchange.on_gone = ticket.cancel

    def _read(
        self, body: Buffer, lease: Lease | None, result: ModelDescription | GatewayError
    ) -> InferRequest:
        if isinstance(result, GatewayError):
            raise result
        if self._coding:
            body = inflate(body, self._coding, self.max_body_bytes, self._tools.settings.max_inflation)
        return self._decode(result.spec, self._target, body, lease, self._tools.clock)


def answering(encode: Encode) -> Begin:
    """Answers once, as `encode` writes it."""
    return lambda service, request, exchange: service.infer(
        request, partial(_answer, encode, exchange), exchange.caller
    )


def _answer(encode: Encode, exchange: Exchange, result: InferResponse | GatewayError) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
        return
    lease = result.lease
    try:
        body, headers = encode(result)
    except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer, and the lease goes back
        if lease is not None:
            lease.release()
        answer_error(exchange, as_gateway_error(error))
        return
    exchange.respond(200, headers, body, (), None if lease is None else lease.release)
