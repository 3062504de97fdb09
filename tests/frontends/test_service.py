import json
from typing import Literal

import pytest

from gateway.core.clock import monotonic_s
from gateway.frontends.service import Protocols
from gateway.frontends.settings import FrontendSettings
from gateway.pipeline.control import NoControl
from gateway.pipeline.observing import Observing
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeInferenceService


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        (b"GET", b"/v2/health/live", (), 200),
        (b"GET", b"/nothing", (), 404),
        (
            b"POST",
            b"/inference.GRPCInferenceService/ServerLive",
            ((b"content-type", b"application/grpc"),),
            200,
        ),
        (b"POST", b"/no.Such/Method", ((b"content-type", b"application/grpc"),), 200),
    ],
)
def test_each_protocol_answers_for_itself(
    method: bytes, path: bytes, headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    protocols = Protocols(
        FakeInferenceService(), FrontendSettings(server_name="edge"), monotonic_s, NoControl(), Observing()
    )
    head = Head(method, path, headers, http_version="2")
    exchange = FakeExchange(head)
    protocols.route(head).handle(exchange, b"\0\0\0\0\0", None)
    assert exchange.status == status
    protocols.refresh()
    protocols.finish()


@pytest.mark.parametrize(("compat", "name"), [("none", "edge"), ("triton", "triton")])
def test_the_name_in_the_metadata_is_the_configured_one(compat: Literal["none", "triton"], name: str) -> None:
    settings = FrontendSettings(server_name="edge", compat=compat)
    protocols = Protocols(FakeInferenceService(), settings, monotonic_s, NoControl(), Observing())
    head = Head(b"GET", b"/v2", (), http_version="1.1")
    exchange = FakeExchange(head)
    protocols.route(head).handle(exchange, b"", None)
    assert json.loads(exchange.body)["name"] == name
