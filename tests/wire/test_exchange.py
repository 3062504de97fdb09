from __future__ import annotations

import pytest

from gateway.core.errors import GatewayError
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.wire.exchange import Endpoint, Exchange, Head, PlainBody
from tests.fakes.inference import FakeExchange


class Small(PlainBody):
    """What is left to say."""

    __slots__ = ()

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        raise AssertionError

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        raise AssertionError


def test_a_plain_body_is_whole_and_tells_nothing_beforehand() -> None:
    endpoint: Endpoint = Small(17)
    head = Head(b"POST", b"/", (), http_version="1.1")
    assert (endpoint.whole, endpoint.max_body_bytes) == (True, 17)
    assert endpoint.body_size(head, b"\0\0\0\0\5") is None
    assert endpoint.payload_offset(head) == 0
    with pytest.raises(NotImplementedError):
        endpoint.open(FakeExchange(head))
