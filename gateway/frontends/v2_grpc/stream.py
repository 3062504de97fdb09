"""ModelStreamInfer: requests as they come, answers as they are there.

DESIGN: requests of one call run side by side. One that is answered once, by a response, an error or
nothing, is answered in its place in the order of the requests; one that is answered again leaves that
order with its first response, for nobody could tell how long those behind it would wait. What waits for
its turn is held as the bytes to be sent. The call is read no further while the client does not read,
or while as many requests as may be are under way: so its memory is bounded from both sides.
"""

from __future__ import annotations

from collections import deque
from math import inf

from google.protobuf.message import DecodeError

from gateway.core.errors import GatewayError, InvalidInput, Overloaded, Reason
from gateway.core.messages import InferResponse, StreamTicket
from gateway.core.tensor import Buffer
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_grpc.codec import decode
from gateway.frontends.v2_grpc.endpoints import Tools
from gateway.frontends.v2_grpc.errors import HEADERS, OK, error_trailers
from gateway.frontends.v2_grpc.framing import FrameReader, frame, parse_timeout
from gateway.frontends.v2_grpc.streamed import Repeated, streamed
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Exchange, Headers

# Of one call under way; more wait unread.
MAX_OPEN = 256
_WANTS_EMPTY = "triton_enable_empty_final_response"


class Streams:
    """The open calls of one front."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._calls: set[StreamCall] = set()

    def begin(self, exchange: Exchange, coding: str, max_ratio: int) -> StreamCall:
        """The receiving side of a call."""
        settings = self._tools.settings
        call = StreamCall(
            self._tools, exchange, FrameReader(coding, settings.max_message_bytes, max_ratio), self._calls
        )
        self._calls.add(call)
        return call

    def finish(self) -> None:
        """Ends every call as soon as what has come of it is answered, so that a drain need not wait."""
        for call in list(self._calls):
            call.drain()


class StreamCall:
    """One call. Invariant: it is in `calls` until it is over; `_open` are the requests not yet ended.

    `_order` are those of them, and of those that ended before their turn, that have a turn.
    """

    def __init__(self, tools: Tools, exchange: Exchange, reader: FrameReader, calls: set[StreamCall]) -> None:
        self._tools = tools
        self.exchange = exchange
        self._reader = reader
        self._calls = calls
        given = exchange.head.get(b"grpc-timeout")
        self._deadline = inf if given is None else tools.clock() + parse_timeout(given)
        self._ends_at_error = exchange.head.get(b"triton_grpc_error") == b"true"
        self._open: dict[Request, None] = {}
        self._order: deque[Request] = deque()
        self._is_reading = True
        self._has_all = False
        self._is_draining = False
        self._is_over = False
        exchange.on_gone = self._gone
        exchange.on_writable = self._go_on
        exchange.start(200, HEADERS)

    # ---- requests in ----------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        if not self._is_over:
            self._take(data)

    def on_end(self) -> None:
        self._has_all = True
        if not self._is_over:
            self._take(b"")

    def drain(self) -> None:
        """Takes no more requests."""
        self._is_draining = True
        self._end_if_done()

    def _take(self, data: bytes) -> None:
        """Runs what has come whole, as far as there is room; ends after the last."""
        try:
            messages = self._reader.feed(data)
            while self._has_room and (message := next(messages, None)) is not None:
                self._run(message)
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here costs one call, no connection
            self.end(as_gateway_error(error))
            return
        self._end_if_done()
        self._read_or_pause()

    @property
    def _has_room(self) -> bool:
        is_wanted = not self._is_over and not self._is_draining
        return is_wanted and len(self._open) < MAX_OPEN and self.exchange.is_writable

    def _read_or_pause(self) -> None:
        if self._is_over or self._has_room == self._is_reading:
            return
        self._is_reading = not self._is_reading
        if self._is_reading:
            self.exchange.resume_reading()
            self._take(b"")
        else:
            self.exchange.pause_reading()

    def _run(self, message: bytes) -> None:
        request = Request(self)
        self._open[request] = None
        self._order.append(request)
        try:
            asked = decode(message, 0, self._deadline, None, self._tools.clock)
            request.identity, request.model = asked.id, asked.model
            request.wants_empty = _wants_empty(message)
        except Exception as error:  # ruff: ignore[blind-except] - it must cost one request, not the call
            refusal = as_gateway_error(error)
            self._tools.service.refused("grpc", refusal)
            request.on_end(refusal)
            return
        request.ticket = self._tools.service.stream(asked, request, self.exchange.caller)

    # ---- answers out ----------------------------------------------------------------------------

    def pass_on(self, parts: tuple[Buffer, ...]) -> None:
        """Sends a message of a request that has no turn any more, and has not ended."""
        if self._is_over:
            return
        for part in parts:
            self.exchange.write(part)
        if self._is_reading and not self.exchange.is_writable:
            self._read_or_pause()

    def answer(self, request: Request, parts: tuple[Buffer, ...], *, is_last: bool) -> None:
        """Sends a message of `request`, or keeps it until it is its turn."""
        if self._is_over:
            return
        if not is_last and request.has_turn:
            request.has_turn = False
            self._order.remove(request)
        if request.has_turn:
            request.held = b"".join(parts)
        else:
            for part in parts:
                self.exchange.write(part)
        if is_last:
            del self._open[request]
            request.is_done = True
        while self._order and self._order[0].is_done:
            held = self._order.popleft().held
            if held:
                self.exchange.write(held)
        if is_last:
            self._end_if_done()
        self._read_or_pause()

    def fail(self, request: Request, error: GatewayError, *, is_last: bool) -> None:
        """Answers `request` with an error, or ends the call by it."""
        is_late = error.reason is Reason.DEADLINE_EXCEEDED and self._tools.clock() >= self._deadline
        if self._ends_at_error or is_late:
            if is_last:
                self._open.pop(request, None)
            self.end(error)
            return
        message = pb.ModelStreamInferResponse(error_message=error.text)
        message.infer_response.id = request.identity
        self.answer(request, (frame(message.SerializeToString()),), is_last=is_last)

    # ---- the end --------------------------------------------------------------------------------

    def end(self, error: GatewayError) -> None:
        """Ends the call by `error`, whatever is under way."""
        self._end(error_trailers(error))

    def _end_if_done(self) -> None:
        if self._open or self._is_over:
            return
        if self._has_all and self._reader.is_empty:
            self._end(OK)
        elif self._is_draining:
            self.end(Overloaded("the gateway is shutting down"))
        elif self._has_all and self._is_reading:
            self.end(InvalidInput("the stream ended within a message"))

    def _end(self, trailers: Headers) -> None:
        if not self._is_over:
            self._gone()
            self.exchange.finish(trailers)

    def _gone(self) -> None:
        self._is_over = True
        self._calls.discard(self)
        left, self._open = self._open, {}
        self._order.clear()
        for request in left:
            if request.ticket is not None:
                request.ticket.cancel()

    def _go_on(self) -> None:
        for request in list(self._open):
            if request.ticket is not None:
                request.ticket.resume()
        self._read_or_pause()


class Request:
    """One request of a call; implements StreamSink. `has_turn` until it is answered a second time."""

    __slots__ = (
        "_call",
        "_repeated",
        "has_turn",
        "held",
        "identity",
        "is_done",
        "model",
        "ticket",
        "wants_empty",
    )

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._repeated = Repeated()
        self.identity = ""
        self.model = ""
        self.wants_empty = False
        self.has_turn = True
        self.is_done = False
        self.held = b""
        self.ticket: StreamTicket | None = None

    @property
    def is_writable(self) -> bool:
        """See StreamSink."""
        return self._call.exchange.is_writable

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        """See StreamSink."""
        try:
            if is_last:
                self._call.answer(self, streamed(response, is_last=True), is_last=True)
            elif self.has_turn:
                self._call.answer(self, self._repeated.message(response), is_last=False)
            else:
                self._call.pass_on(self._repeated.message(response))
        except Exception as error:  # ruff: ignore[blind-except] - whoever waits hears of it
            self._call.end(as_gateway_error(error))
        finally:  # the exchange has copied what it could not send
            if response.lease is not None:
                response.lease.release()

    def on_fault(self, error: GatewayError) -> None:
        """See StreamSink."""
        self._call.fail(self, error, is_last=False)

    def on_end(self, error: GatewayError | None) -> None:
        """See StreamSink."""
        if error is not None:
            self._call.fail(self, error, is_last=True)
            return
        parts: tuple[Buffer, ...] = ()
        if self.wants_empty:
            version = 0 if self.ticket is None else self.ticket.version
            parts = streamed(InferResponse(self.model, version, (), self.identity), is_last=True)
        self._call.answer(self, parts, is_last=True)


def _wants_empty(message: bytes) -> bool:
    """Whether the end of the answers is to be told by a message of its own."""
    if _WANTS_EMPTY.encode() not in message:
        return False
    try:
        parameters = pb.ModelInferRequest.FromString(message).parameters
    except DecodeError:
        return False
    if _WANTS_EMPTY not in parameters:
        return False
    if parameters[_WANTS_EMPTY].WhichOneof("parameter_choice") != "bool_param":
        raise InvalidInput(f"parameter '{_WANTS_EMPTY}' must be true or false")
    return parameters[_WANTS_EMPTY].bool_param
