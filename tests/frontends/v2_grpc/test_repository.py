"""The model repository extension over gRPC, from messages to calls and back."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.frontends.v2_grpc.endpoints import Tools
from gateway.frontends.v2_grpc.errors import Status
from gateway.frontends.v2_grpc.framing import frame
from gateway.frontends.v2_grpc.repository import EXTENSIONS
from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.generated import open_inference_pb2 as pb
from gateway.pipeline.control import NoControl
from gateway.wire.exchange import Head
from tests.fakes.control import FakeRepositoryService
from tests.fakes.inference import FakeExchange, FakeInferenceService


def call(method, message, service=None):
    tools = Tools(FakeInferenceService(), GrpcSettings(), lambda: 0.0, service or FakeRepositoryService())
    path = b"/inference.GRPCInferenceService/" + method
    head = Head(b"POST", path, ((b"content-type", b"application/grpc"),), http_version="2")
    exchange = FakeExchange(head)
    grpc = Grpc(tools, "gw", "1")
    assert path in grpc.paths
    grpc.route(head).handle(exchange, frame(message.SerializeToString()), None)
    return exchange


def status(exchange):
    return Status(int(exchange.trailers[b"grpc-status"]))


def load_request(**parameters):
    request = pb.RepositoryModelLoadRequest(model_name="m")
    for key, value in parameters.items():
        kind = {str: "string_param", bytes: "bytes_param", bool: "bool_param", int: "int64_param"}[
            type(value)
        ]
        setattr(request.parameters[key], kind, value)
    return request


def unload_request(**parameters):
    request = pb.RepositoryModelUnloadRequest(model_name="m")
    for key, value in parameters.items():
        setattr(request.parameters[key], "bool_param" if isinstance(value, bool) else "string_param", value)
    return request


@pytest.mark.parametrize("ready", [False, True])
def test_the_index(ready):
    service = FakeRepositoryService()
    exchange = call(b"RepositoryIndex", pb.RepositoryIndexRequest(ready=ready), service)
    assert service.asked == [("index", ready)]
    answer = pb.RepositoryIndexResponse.FromString(exchange.body[5:])
    assert [(one.name, one.version, one.state, one.reason) for one in answer.models] == [
        ("a", "3", "READY", ""),
        ("b", "", "UNAVAILABLE", "faulty"),
    ]


@pytest.mark.parametrize(
    ("method", "request_", "asked"),
    [
        (b"RepositoryModelLoad", load_request(), ("load", "m", None, {})),
        (
            b"RepositoryModelLoad",
            load_request(**{"config": "{}", "file:1/x": b"\xff"}),
            ("load", "m", "{}", {"1/x": b"\xff"}),
        ),
        (b"RepositoryModelUnload", unload_request(), ("unload", "m", False)),
        (b"RepositoryModelUnload", unload_request(unload_dependents=True), ("unload", "m", True)),
    ],
)
def test_loads_and_unloads(method, request_, asked):
    service = FakeRepositoryService()
    exchange = call(method, request_, service)
    assert service.asked == [asked]
    assert (status(exchange), exchange.body) == (Status.OK, frame(b""))


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        (b"RepositoryModelLoad", load_request(config=b"{}")),
        (b"RepositoryModelLoad", load_request(config=1)),
        (b"RepositoryModelLoad", load_request(**{"file:1/x": "text"})),
        (b"RepositoryModelLoad", load_request(other="x")),
        (b"RepositoryModelUnload", unload_request(unload_dependents="yes")),
        (b"RepositoryModelUnload", unload_request(other=True)),
    ],
)
def test_what_makes_no_sense_is_refused(method, request_):
    service = FakeRepositoryService()
    assert status(call(method, request_, service)) is Status.INVALID_ARGUMENT
    assert service.asked == []


def test_one_repository_of_several_is_not_supported():
    for method, request in (
        (b"RepositoryIndex", pb.RepositoryIndexRequest(repository_name="r")),
        (b"RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="r", model_name="m")),
        (b"RepositoryModelUnload", pb.RepositoryModelUnloadRequest(repository_name="r", model_name="m")),
    ):
        exchange = call(method, request)
        assert status(exchange) is Status.UNIMPLEMENTED
        assert b"'repository_name' specification is not supported" in exchange.trailers[b"grpc-message"]


def test_a_refusal_is_told():
    for service, expected in (
        (FakeRepositoryService(InvalidInput("no")), Status.INVALID_ARGUMENT),
        (NoControl(), Status.PERMISSION_DENIED),
    ):
        for method, request in (
            (b"RepositoryIndex", pb.RepositoryIndexRequest()),
            (b"RepositoryModelLoad", load_request()),
            (b"RepositoryModelUnload", unload_request()),
        ):
            assert status(call(method, request, service)) is expected


def test_who_goes_away_is_not_waited_for():
    service = FakeRepositoryService(holds=True)
    exchange = call(b"RepositoryModelLoad", load_request(), service)
    exchange.on_gone()
    assert service.changes[0].is_cancelled


def test_a_load_may_be_larger_than_other_messages():
    service = FakeRepositoryService()
    large = load_request(**{"config": "{}", "file:1/x": bytes(1 << 20)})
    assert status(call(b"RepositoryModelLoad", large, service)) is Status.OK
    assert service.asked == [("load", "m", "{}", {"1/x": bytes(1 << 20)})]


def test_it_is_advertised_where_it_is_permitted():
    def extensions(service):
        exchange = call(b"ServerMetadata", pb.ServerMetadataRequest(), service)
        return set(pb.ServerMetadataResponse.FromString(exchange.body[5:]).extensions)

    assert extensions(FakeRepositoryService()) - extensions(NoControl()) == set(EXTENSIONS)
