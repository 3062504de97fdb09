from __future__ import annotations

import pytest

from gateway.core.errors import GatewayError, Unsupported
from gateway.frontends.v2_grpc.fixed import FixedExtensions
from gateway.generated import open_inference_pb2 as pb
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange


def ask(name, request):
    exchange = FakeExchange(Head(b"POST", b"/", (), http_version="2"))
    message = request if isinstance(request, bytes) else request.SerializeToString()
    FixedExtensions().calls()[name](message, exchange)
    assert exchange.trailers[b"grpc-status"] == b"0"
    return getattr(pb, f"{name}Response").FromString(exchange.body[5:])


@pytest.mark.parametrize("kind", ["System", "Cuda"])
def test_shared_memory(kind):
    assert not ask(f"{kind}SharedMemoryStatus", b"").regions
    for call in ("Register", "Unregister"):
        with pytest.raises(Unsupported, match="Client shared memory is disabled"):
            ask(f"{kind}SharedMemory{call}", b"")


def test_malformed():
    for name in FixedExtensions().calls():
        with pytest.raises(GatewayError, match="the message is not a"):
            ask(name, b"\xff")
