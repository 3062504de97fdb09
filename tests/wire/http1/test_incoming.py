from __future__ import annotations

import pytest

from gateway.wire.http1.head import Refused
from gateway.wire.http1.incoming import IncomingBody
from gateway.wire.settings import WireSettings
from tests.fakes.http1 import Http1, chunked, post
from tests.fakes.services import FakeBodyMemory, RoutingService, StreamEndpoint, WholeEndpoint


def begin(raw: bytes, endpoint: WholeEndpoint, limit: int = 1000, **settings: int) -> IncomingBody:
    """The body of the request whose head is in `raw`."""
    http = Http1(RoutingService(endpoint))
    head, end, _ = raw.partition(b"\r\n\r\n")
    http.send(head + end)
    exchange = http.connection.exchange
    assert exchange is not None
    return IncomingBody(exchange, limit, WireSettings(**settings), FakeBodyMemory(), 0.0)


def test_a_counted_body_for_a_whole_endpoint() -> None:
    endpoint = WholeEndpoint()
    body = begin(post("/", b"abc"), endpoint)
    assert body.feed(b"..abcNEXT", 2) == 5
    assert body.is_complete
    body.end()
    assert endpoint.calls[-1][1] == b"abc"


def test_a_chunked_body_for_a_streaming_endpoint() -> None:
    endpoint = StreamEndpoint()
    body = begin(chunked("/"), endpoint)
    body.feed(b"3\r\nabc\r\n0\r\n\r\n", 0)
    body.end()
    assert endpoint.receivers[-1].body == b"abc"
    assert endpoint.receivers[-1].ended


def test_the_limit_is_the_one_given() -> None:
    body = begin(chunked("/"), WholeEndpoint(), limit=2)
    with pytest.raises(Refused) as refused:
        body.feed(b"3\r\nabc", 0)
    assert refused.value.status == 413


def test_progress_is_what_was_received() -> None:
    settings = WireSettings(body_idle_timeout_s=10, body_min_rate=0)
    body = begin(post("/", b"abc"), WholeEndpoint())
    assert body.fault(9.0, settings, is_paused=False) is None
    body.feed(b"a", 0)
    assert body.fault(15.0, settings, is_paused=False) is None
    assert body.fault(24.0, settings, is_paused=True) is None
    assert body.fault(34.0, settings, is_paused=False) is None
    assert body.fault(34.1, settings, is_paused=False) is not None
