"""How generate and generate_stream answer: one object, or an event for each answer as it comes.

The status of a stream is that of its first answer: what fails before it is a plain error, what fails
after it is an event with `error`. An error that is itself an answer is an event wherever it stands.
"""

from __future__ import annotations

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.messages import InferRequest, InferResponse, StreamTicket
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_rest.errors import STATUS, answer_error, error_body
from gateway.frontends.v2_rest.generate import encode_event, encode_generate
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange, Headers

# Triton's words.
_NOT_ONE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that "
    "generates various number of responses"
)
_EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


def answer_events(
    service: InferenceService, request: InferRequest, exchange: Exchange
) -> StreamTicket | None:
    """Runs `request`, each answer an event."""
    ticket = service.stream(request, Events(exchange), exchange.caller)
    if ticket is not None:
        exchange.on_writable = ticket.resume
    return ticket


def answer_one(service: InferenceService, request: InferRequest, exchange: Exchange) -> StreamTicket | None:
    """Runs `request`, which must be answered exactly once."""
    one = One(exchange)
    one.ticket = service.stream(request, one, exchange.caller)
    return one.ticket


class Events:
    """Implements StreamSink."""

    __slots__ = ("_exchange", "_has_started")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._has_started = False

    @property
    def is_writable(self) -> bool:
        """See StreamSink."""
        return self._exchange.is_writable

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        """See StreamSink."""
        try:
            event = encode_event(response)
        except Exception as error:  # ruff: ignore[blind-except] - a model may answer what JSON cannot say
            event = _error_event(as_gateway_error(error))
        finally:
            if response.lease is not None:
                response.lease.release()
        self._write(event)
        if is_last:
            self._exchange.finish()

    def on_fault(self, error: GatewayError) -> None:
        """See StreamSink."""
        self._write(_error_event(error), STATUS[error.reason])

    def on_end(self, error: GatewayError | None) -> None:
        """See StreamSink."""
        if error is not None and not self._has_started:
            answer_error(self._exchange, error)
            return
        self._write(b"" if error is None else _error_event(error))
        self._exchange.finish()

    def _write(self, event: bytes, status: int = 200) -> None:
        if not self._has_started:
            self._has_started = True
            self._exchange.start(status, _EVENTS)
        if event:
            self._exchange.write(event)


class One:
    """Implements StreamSink. Keeps the first answer until it is known to be the only one."""

    __slots__ = ("_answer", "_exchange", "ticket")

    is_writable = True

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._answer: tuple[bytes, Headers] | None = None
        self.ticket: StreamTicket | None = None

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        """See StreamSink."""
        try:
            if self._answer is not None:
                raise InvalidInput(_NOT_ONE)
            self._answer = encode_generate(response)
        except Exception as error:  # ruff: ignore[blind-except] - whoever waits gets an answer
            answer_error(self._exchange, as_gateway_error(error))
            if self.ticket is not None:
                self.ticket.cancel()
            return
        finally:
            if response.lease is not None:
                response.lease.release()
        if is_last:
            self.on_end(None)

    def on_fault(self, error: GatewayError) -> None:
        """See StreamSink. Whatever else comes, it is not exactly one answer."""
        answer_error(self._exchange, error)
        if self.ticket is not None:
            self.ticket.cancel()

    def on_end(self, error: GatewayError | None) -> None:
        """See StreamSink."""
        if error is None and self._answer is None:
            error = InvalidInput(_NOT_ONE)
        if error is not None:
            answer_error(self._exchange, error)
            return
        assert self._answer is not None
        body, headers = self._answer
        self._exchange.respond(200, headers, body)


def _error_event(error: GatewayError) -> bytes:
    return b"data: %b\n\n" % error_body(error.text, error.reason.value)
