"""What answers a V2 REST request: one hot endpoint for inference, one small form for all else."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from gateway.core.caller import Caller
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.messages import Done, InferRequest, InferResponse, Lease, Ticket
from gateway.core.tensor import Buffer
from gateway.frontends.codings import deflate, inflate
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_rest.codec import Target, decode, encode
from gateway.frontends.v2_rest.errors import JSON, answer_error
from gateway.frontends.v2_rest.forms import Form
from gateway.frontends.v2_rest.settings import RestSettings
from gateway.pipeline.control import NoControl, RepositoryService
from gateway.pipeline.observing import Observing
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange, Head, Headers, PlainBody, Receiver

OK_JSON: Headers = (JSON,)
# A request without a meaning for its body may have one; it is read, so that the connection lives on.
_IGNORED_BODY_BYTES = 64 << 10


class Tools(NamedTuple):
    """What every endpoint works with."""

    service: InferenceService
    settings: RestSettings
    clock: Clock
    repository: RepositoryService = NoControl()
    observing: Observing = Observing()


class InferFormat(NamedTuple):
    """How a request's head says that its body is to be read and answered; codings are "" for none."""

    header_length: int | None = None
    coding: str = ""
    answer_coding: str = ""


class Simple(PlainBody):
    """An endpoint whose answer needs nothing of the body."""

    __slots__ = ("_answer", "_refuse")

    def __init__(
        self, answer: Callable[[Exchange], None], refuse: Callable[[Exchange, GatewayError], None]
    ) -> None:
        super().__init__(_IGNORED_BODY_BYTES)
        self._answer = answer
        self._refuse = refuse

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        if lease is not None:
            lease.release()
        self._answer(exchange)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._refuse(exchange, error)


Run = Callable[[InferRequest, Done, Caller], Ticket | None]


def named(infer: Run, identity: str) -> Run:
    """`infer`, with the id `identity` for a request that has none."""
    return lambda request, done, caller: infer(
        request if request.id else request.under(identity), done, caller
    )


class Infer:
    """POST …/infer of one target in one format; shared by all requests that say the same."""

    __slots__ = (
        "_clock",
        "_format",
        "_infer",
        "_service",
        "_settings",
        "_target",
        "_tools",
        "max_body_bytes",
    )

    whole = True

    def __init__(self, tools: Tools, target: Target, how: InferFormat) -> None:
        self._tools = tools
        self._service = tools.service
        self._infer: Run = tools.service.infer
        self._settings = tools.settings
        self._clock = tools.clock
        self._target = target
        self._format = how
        self.max_body_bytes = tools.settings.max_body_bytes

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        length, coding, _ = self._format
        try:
            if coding:
                body = inflate(body, coding, self.max_body_bytes, self._settings.max_inflation)
                if lease is not None:
                    lease.release()
                    lease = None
            request, form = decode(self._target, length, body, lease, self._clock)
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here must cost one request, not the connection
            if lease is not None:
                lease.release()
            self.refuse(exchange, as_gateway_error(error))
            return
        ticket = self._infer(request, partial(self._answer, exchange, form), exchange.caller)
        if ticket is not None:
            exchange.on_gone = ticket.cancel

    def open(self, exchange: Exchange) -> Receiver:
        raise NotImplementedError("inference takes whole bodies")

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        self._service.refused("rest", error)
        answer_error(exchange, error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return None

    def payload_offset(self, head: Head) -> int:
        return 0 if self._format.coding else self._format.header_length or 0

    @property
    def model(self) -> str:
        """Whose inference this is."""
        return self._target.model

    def under(self, identity: str) -> Infer:
        """The same for a request whose id is `identity`, unless its body says otherwise."""
        other = Infer(self._tools, self._target, self._format)
        other._infer = named(self._infer, identity)
        return other

    def _answer(self, exchange: Exchange, form: Form, result: InferResponse | GatewayError) -> None:
        if isinstance(result, GatewayError):
            answer_error(exchange, result)
            return
        lease = result.lease
        try:
            body, json_bytes = encode(form, result)
            headers = OK_JSON if json_bytes is None else _binary_headers(json_bytes)
            if self._format.answer_coding:
                body, headers = self._compressed(body, headers)
        except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer, and the lease goes back
            if lease is not None:
                lease.release()
            answer_error(exchange, as_gateway_error(error))
            return
        exchange.respond(200, headers, body, (), None if lease is None else lease.release)

    def _compressed(
        self, body: bytes | tuple[Buffer, ...], headers: Headers
    ) -> tuple[bytes | tuple[Buffer, ...], Headers]:
        size = sum(map(len, body)) if isinstance(body, tuple) else len(body)
        if not self._settings.compress_min_bytes <= size <= self._settings.compress_max_bytes:
            return body, headers
        coding = self._format.answer_coding
        return deflate(body, coding), (*headers, (b"content-encoding", coding.encode()))


@lru_cache(1024)
def _binary_headers(json_bytes: int) -> Headers:
    return (
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", b"%d" % json_bytes),
    )
