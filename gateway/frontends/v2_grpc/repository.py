"""The model repository extension over gRPC: RepositoryIndex, RepositoryModelLoad, RepositoryModelUnload."""

from __future__ import annotations

from functools import partial

from google.protobuf.message import Message

from gateway.control.questions import IndexEntry, ModelFile
from gateway.core.errors import GatewayError, InvalidInput, Unsupported
from gateway.core.messages import Ticket
from gateway.frontends.v2_grpc.endpoints import answer_message
from gateway.frontends.v2_grpc.errors import answer_error
from gateway.frontends.v2_grpc.metadata import read
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.control import RepositoryService
from gateway.wire.exchange import Exchange

EXTENSIONS = ("model_repository", "model_repository(unload_dependents)")

_FILE = "file:"


class RepositoryCalls:
    """Model control of one front; each method is a `Call`."""

    def __init__(self, service: RepositoryService) -> None:
        self._service = service

    def index(self, message: bytes, exchange: Exchange) -> None:
        asked = read(pb.RepositoryIndexRequest, message)
        _refuse_name(asked.repository_name)
        _hold(
            exchange,
            self._service.index(partial(_list, exchange), ready_only=asked.ready, caller=exchange.caller),
        )

    def load(self, message: bytes, exchange: Exchange) -> None:
        asked = read(pb.RepositoryModelLoadRequest, message)
        _refuse_name(asked.repository_name)
        config: str | None = None
        files: list[ModelFile] = []
        for key, parameter in asked.parameters.items():
            if key == "config":
                _check_choice(key, parameter, "string_param")
                config = parameter.string_param
            elif key.startswith(_FILE):
                _check_choice(key, parameter, "bytes_param")
                files.append(ModelFile(key.removeprefix(_FILE), parameter.bytes_param))
            else:
                raise InvalidInput(f"a load has no parameter '{key}'")
        answer = pb.RepositoryModelLoadResponse()
        told = partial(_tell, exchange, answer)
        ticket = self._service.load(asked.model_name, config, tuple(files), told, caller=exchange.caller)
        _hold(exchange, ticket)

    def unload(self, message: bytes, exchange: Exchange) -> None:
        asked = read(pb.RepositoryModelUnloadRequest, message)
        _refuse_name(asked.repository_name)
        dependents = False
        for key, parameter in asked.parameters.items():
            if key != "unload_dependents":
                raise InvalidInput(f"an unload has no parameter '{key}'")
            _check_choice(key, parameter, "bool_param")
            dependents = parameter.bool_param
        told = partial(_tell, exchange, pb.RepositoryModelUnloadResponse())
        _hold(
            exchange,
            self._service.unload(
                asked.model_name, told, unload_dependents=dependents, caller=exchange.caller
            ),
        )


def _refuse_name(repository: str) -> None:
    if repository:
        raise Unsupported("'repository_name' specification is not supported")


def _check_choice(key: str, parameter: pb.ModelRepositoryParameter, wanted: str) -> None:
    if parameter.WhichOneof("parameter_choice") != wanted:
        raise InvalidInput(f"parameter '{key}' must be a {wanted}")


def _hold(exchange: Exchange, ticket: Ticket | None) -> None:
    if ticket is not None:
        exchange.on_gone = ticket.cancel


def _list(exchange: Exchange, result: tuple[IndexEntry, ...] | GatewayError) -> None:
    if isinstance(result, GatewayError):
        answer_error(exchange, result)
        return
    answer = pb.RepositoryIndexResponse()
    for one in result:
        version = str(one.version) if one.version else ""
        answer.models.add(name=one.name, version=version, state=one.state, reason=one.reason)
    answer_message(exchange, answer.SerializeToString())


def _tell(exchange: Exchange, answer: Message, error: GatewayError | None) -> None:
    if error is not None:
        answer_error(exchange, error)
    else:
        answer_message(exchange, answer.SerializeToString())
