"""grpc.reflection, v1 and v1alpha: what a client such as grpcurl must know to call without our .proto.

The two versions differ in their package name only, so one set of messages serves both.
"""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError

from gateway.core.errors import GatewayError, InvalidInput
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_grpc.endpoints import SMALL_MESSAGE_BYTES
from gateway.frontends.v2_grpc.errors import HEADERS, OK, Status, answer_error, error_trailers
from gateway.frontends.v2_grpc.framing import FrameReader, frame
from gateway.generated import health_pb2, open_inference_pb2, reflection_v1alpha_pb2
from gateway.generated import reflection_pb2 as pb
from gateway.generated.pool import POOL
from gateway.wire.exchange import Exchange

_FILES = (
    health_pb2.DESCRIPTOR,
    open_inference_pb2.DESCRIPTOR,
    pb.DESCRIPTOR,
    reflection_v1alpha_pb2.DESCRIPTOR,
)


class Reflection:
    """Receives the questions of one call and answers each, in order.

    An answer can be a thousand times its question: none is made while the client has not taken those
    before it.
    """

    __slots__ = ("_exchange", "_has_all", "_has_started", "_reader")

    def __init__(self, exchange: Exchange, coding: str, max_ratio: int) -> None:
        self._exchange = exchange
        self._reader = FrameReader(coding, SMALL_MESSAGE_BYTES, max_ratio)
        self._has_started = False
        self._has_all = False

    def on_data(self, data: bytes) -> None:
        self._answer(data)

    def on_end(self) -> None:
        self._has_all = True
        self._answer(b"")

    def _go_on(self) -> None:
        self._exchange.resume_reading()
        self._answer(b"")

    def _answer(self, data: bytes) -> None:
        """Answers what has come whole, as long as the client takes it; ends after the last."""
        exchange = self._exchange
        try:
            messages = self._reader.feed(data)
            while exchange.is_writable:
                message = next(messages, None)
                if message is None:
                    if self._has_all:
                        self._end()
                    return
                self._start()
                exchange.write(frame(answer(message)))
            exchange.on_writable = self._go_on
            exchange.pause_reading()
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here costs one call, no connection
            self._fail(as_gateway_error(error))

    def _end(self) -> None:
        if not self._reader.is_empty:
            raise InvalidInput("the stream ended within a message")
        self._start()
        self._exchange.finish(OK)

    def _start(self) -> None:
        if not self._has_started:
            self._has_started = True
            self._exchange.start(200, HEADERS)

    def _fail(self, error: GatewayError) -> None:
        if self._has_started:
            self._exchange.finish(error_trailers(error))
        else:
            answer_error(self._exchange, error)


def answer(message: bytes) -> bytes:
    """The ServerReflectionResponse to a ServerReflectionRequest; raises InvalidInput."""
    try:
        question = pb.ServerReflectionRequest.FromString(message)
    except DecodeError:
        raise InvalidInput("the message is not a ServerReflectionRequest") from None
    reply = pb.ServerReflectionResponse(valid_host=question.host, original_request=question)
    try:
        _fill(reply, question)
    except KeyError:
        reply.error_response.error_code = Status.NOT_FOUND
        reply.error_response.error_message = "not found"
    return reply.SerializeToString()


def service_names() -> list[str]:
    """Full names of all services offered."""
    return sorted(service.full_name for file in _FILES for service in file.services_by_name.values())


def _fill(reply: pb.ServerReflectionResponse, question: pb.ServerReflectionRequest) -> None:
    """Puts the answer to `question` into `reply`; raises KeyError where there is none."""
    match question.WhichOneof("message_request"):
        case "file_by_filename":
            _put_file(reply, POOL.FindFileByName(question.file_by_filename))
        case "file_containing_symbol":
            _put_file(reply, _declaring(question.file_containing_symbol))
        case "all_extension_numbers_of_type":
            name = question.all_extension_numbers_of_type
            POOL.FindMessageTypeByName(name)
            # proto3 has no extensions: the type is known, and nobody extends it.
            reply.all_extension_numbers_response.base_type_name = name
        case "list_services":
            for name in service_names():
                reply.list_services_response.service.add(name=name)
        case "file_containing_extension":
            raise KeyError(question.file_containing_extension.containing_type)
        case _:
            reply.error_response.error_code = Status.INVALID_ARGUMENT
            reply.error_response.error_message = "the request asks nothing"


def _declaring(symbol: str) -> FileDescriptor:
    """The file that declares `symbol`, a method's name too; raises KeyError."""
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        return POOL.FindMethodByName(symbol).containing_service.file


def _put_file(reply: pb.ServerReflectionResponse, file: FileDescriptor) -> None:
    """`file` and everything it imports, each once."""
    found: dict[str, FileDescriptor] = {}
    waiting = [file]
    while waiting:
        next_file = waiting.pop()
        if next_file.name not in found:
            found[next_file.name] = next_file
            waiting += next_file.dependencies
    reply.file_descriptor_response.file_descriptor_proto.extend(each.serialized_pb for each in found.values())
