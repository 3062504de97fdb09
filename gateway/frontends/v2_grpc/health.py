"""grpc.health.v1: the gateway as a whole, the inference service, and each model as `model/<name>`.

`Watch` is told of changes by `refresh`, to be called when something may have changed (a snapshot, a
drain) and at the latest every second: what the statuses are made of has no events of its own.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gateway.core.errors import GatewayError, InvalidInput, ModelNotFound
from gateway.core.model import check_name
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_grpc.endpoints import SMALL_MESSAGE_BYTES, answer_message
from gateway.frontends.v2_grpc.errors import HEADERS, Status, answer_error, error_trailers, status_trailers
from gateway.frontends.v2_grpc.framing import FrameReader, frame
from gateway.generated import health_pb2 as pb
from gateway.pipeline.service import InferenceService
from gateway.wire.exchange import Exchange

_SERVICES = ("", "inference.GRPCInferenceService")
_MODEL = "model/"

_Status = pb.HealthCheckResponse.ServingStatus
_SERVING = _Status.SERVING
_NOT_SERVING = _Status.NOT_SERVING
_UNKNOWN = _Status.SERVICE_UNKNOWN


class Health:
    """The health service of one front."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service
        # Invariant: holds exactly the open watches, each with the status it was told last.
        self._watches: dict[Exchange, tuple[str, _Status.ValueType]] = {}

    def check(self, message: bytes, exchange: Exchange) -> None:
        """Check: NOT_FOUND for a service that is not known here."""
        name = _asked(message)
        status = self._status(name, exchange)
        if status == _UNKNOWN:
            raise ModelNotFound("unknown service")
        answer_message(exchange, _told(status))

    def list(self, message: bytes, exchange: Exchange) -> None:
        """List: the services that are always there; models are asked for by name."""
        answer = pb.HealthListResponse()
        for name in _SERVICES:
            answer.statuses[name].status = self._status(name, exchange)
        answer_message(exchange, answer.SerializeToString())

    def begin_watch(self, exchange: Exchange, coding: str, max_ratio: int) -> Watch:
        """The receiving side of a Watch call."""
        return Watch(self, exchange, FrameReader(coding, SMALL_MESSAGE_BYTES, max_ratio))

    def watch(self, message: bytes, exchange: Exchange) -> None:
        """Tells the status now, and from now on each change."""
        name = _asked(message)
        status = self._status(name, exchange)
        exchange.on_gone = lambda: self._forget(exchange)
        self._watches[exchange] = (name, status)
        exchange.start(200, HEADERS)
        exchange.write(frame(_told(status)))

    def refresh(self) -> None:
        """Tells every watch whose status is no longer what it was told; skips those that do not read."""
        for exchange, (name, told) in list(self._watches.items()):
            status = self._status(name, exchange)
            if status != told and exchange.is_writable:
                self._watches[exchange] = (name, status)
                exchange.write(frame(_told(status)))

    def finish(self) -> None:
        """Ends every watch, so that a drain need not wait for them."""
        self.refresh()
        for exchange in list(self._watches):
            exchange.finish(status_trailers(Status.UNAVAILABLE, "the gateway is shutting down"))
        self._watches.clear()

    def fail(self, exchange: Exchange, error: GatewayError) -> None:
        """Ends a Watch call with `error`, whether or not it has been answered to."""
        if self._watches.pop(exchange, None) is None:
            answer_error(exchange, error)
        else:
            exchange.finish(error_trailers(error))

    def _forget(self, exchange: Exchange) -> None:
        self._watches.pop(exchange, None)

    def _status(self, name: str, exchange: Exchange) -> _Status.ValueType:
        if name in _SERVICES:
            return _SERVING if self._service.is_ready() else _NOT_SERVING
        if not name.startswith(_MODEL):
            return _UNKNOWN
        try:
            ready = self._service.is_model_ready(check_name(name.removeprefix(_MODEL)), 0, exchange.caller)
        except (ModelNotFound, InvalidInput):
            return _UNKNOWN
        return _SERVING if ready and self._service.is_ready() else _NOT_SERVING


class Watch:
    """Receives the one message of a Watch call."""

    __slots__ = ("_exchange", "_health", "_is_asked", "_reader")

    def __init__(self, health: Health, exchange: Exchange, reader: FrameReader) -> None:
        self._health = health
        self._exchange = exchange
        self._reader = reader
        self._is_asked = False

    def on_data(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                if self._is_asked:
                    raise InvalidInput("Watch takes exactly one message")
                self._health.watch(message, self._exchange)
                self._is_asked = True
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here costs one call, no connection
            self._health.fail(self._exchange, as_gateway_error(error))

    def on_end(self) -> None:
        if not self._is_asked or not self._reader.is_empty:
            self._health.fail(self._exchange, InvalidInput("Watch takes exactly one message"))


def _asked(message: bytes) -> str:
    try:
        return pb.HealthCheckRequest.FromString(message).service
    except DecodeError:
        raise InvalidInput("the message is not a HealthCheckRequest") from None


def _told(status: _Status.ValueType) -> bytes:
    return pb.HealthCheckResponse(status=status).SerializeToString()
