"""Every route and every RPC has an access; one that is new and in no table fails here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.frontends.access import ROUTES, RPCS, Access, access_of
from gateway.frontends.settings import FrontendSettings
from gateway.frontends.v2_grpc.endpoints import Tools as GrpcTools
from gateway.frontends.v2_grpc.routes import Grpc
from gateway.frontends.v2_rest.endpoints import Simple, Tools
from gateway.frontends.v2_rest.routes import Rest
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.control import FakeRepositoryService
from tests.fakes.inference import FakeExchange, FakeInferenceService
from tests.fakes.plugins import still

SETTINGS = FrontendSettings()
FRONTENDS = Path(__file__).parents[2] / "gateway" / "frontends"


def test_every_rpc_that_is_served_has_an_access_and_no_other() -> None:
    tools = GrpcTools(FakeInferenceService(), SETTINGS.grpc, still(), FakeRepositoryService())
    assert Grpc(tools, "gateway", "0").paths == set(RPCS)


def test_every_rpc_of_the_services_definition_is_in_the_table() -> None:
    names = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    assert len(names) > 15
    for name in names:
        assert f"/inference.GRPCInferenceService/{name}".encode() in RPCS


PATHS = [
    *(("/v2/health/live", Access.PUBLIC), ("/v2/health/ready", Access.PUBLIC), ("/v2", Access.KNOWN)),
    *(("/v2/models/stats", Access.MODEL), ("/v2/models/m", Access.MODEL)),
    *(("/v2/models/m/versions/1", Access.MODEL), ("/v2/models/m/infer", Access.MODEL)),
    *(("/v2/models/m/versions/canary/infer", Access.MODEL), ("/v2/models/m/generate", Access.MODEL)),
    *(("/v2/models/m/generate_stream", Access.MODEL), ("/v2/models/m/versions/1/generate", Access.MODEL)),
    *(("/v2/models/m/config", Access.MODEL), ("/v2/models/m/ready", Access.MODEL)),
    *(("/v2/models/m/stats", Access.MODEL), ("/v2/models/m/versions/1/stats", Access.MODEL)),
    *(("/v2/models/m/docs", Access.MODEL), ("/v2/models/m/docs/dataplane.json", Access.MODEL)),
    *(("/v2/models/m/versions/1/docs", Access.MODEL), ("/v2/repository/index", Access.MODEL)),
    *(("/v2/repository/models/m/load", Access.MODEL), ("/v2/repository/models/m/unload", Access.MODEL)),
    *(("/v2/repository/r/index", Access.MODEL), ("/v2/repository/r/models/m/load", Access.MODEL)),
    *(("/v2/trace/setting", Access.ADMIN), ("/v2/models/m/trace/setting", Access.ADMIN)),
    *(("/v2/logging", Access.ADMIN), ("/v2/systemsharedmemory/status", Access.KNOWN)),
    *(("/v2/cudasharedmemory/region/r/register", Access.KNOWN),),
]


@pytest.mark.parametrize(("path", "access"), PATHS)
def test_every_route_has_an_access(path: str, access: Access) -> None:
    assert access_of(path.encode()) is access


def test_the_paths_tested_are_those_that_are_served() -> None:
    """Each is no 404, and each pattern of the routes' tables is there."""
    tools = Tools(FakeInferenceService(), SETTINGS.rest, still(), FakeRepositoryService())
    rest = Rest(tools, "gateway", "0")
    for path, _ in PATHS:
        statuses = set()
        for method in (b"GET", b"POST"):
            head = Head(method, path.replace("/m/", "/fraud/").encode(), (), http_version="1.1")
            endpoint = rest.route(head)
            if isinstance(endpoint, Simple):
                exchange = FakeExchange(head)
                endpoint.handle(exchange, b"", None)
                statuses.add((exchange.status, b"Not Found" in exchange.body))
        assert (404, True) not in statuses, path
    words = set()
    for name in ("routes.py", "setting_calls.py", "fixed.py"):
        source = (FRONTENDS / "v2_rest" / name).read_text()
        for case in re.findall(r"case \[(.*?)\]:", source, re.DOTALL):
            words |= set(re.findall(r'b"([a-z_.]+)"', case))
    assert words - {"index"} <= set(re.findall(r"[a-z_.]+", " ".join(path for path, _ in PATHS))) | {
        *("register", "unregister", "region")
    }


@pytest.mark.parametrize("path", ["/v2/health/live/x", "/v2/new", "/v2x", "/", "/v2/models/a/b/c", "/x.Y/Z"])
def test_what_is_in_no_table_is_for_those_who_are_known(path: str) -> None:
    assert access_of(path.encode()) is None


def test_only_health_is_public() -> None:
    public = {path for path, access in RPCS.items() if access is Access.PUBLIC}
    assert all(b"Health/" in path or path.endswith((b"ServerLive", b"ServerReady")) for path in public)
    assert [pattern.pattern for pattern, access in ROUTES if access is Access.PUBLIC] == [
        rb"/v2/health/(?:live|ready)"
    ]
