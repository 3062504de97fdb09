from __future__ import annotations

import socket

from gateway.wire.half_closed import is_gone
from tests.fakes.transport import FakeSocket, FakeTransport
from tests.fakes.waiting import until_blocking


def test_the_kernel_is_asked() -> None:
    sock = FakeSocket()
    transport = FakeTransport(extra={"socket": sock})
    assert not is_gone(transport)
    sock.state = 7
    assert is_gone(transport)
    assert not is_gone(FakeTransport())


def test_a_real_client_that_only_stopped_sending_and_one_that_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reads = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        transport = FakeTransport(extra={"socket": ours})
        reads.shutdown(socket.SHUT_WR)
        ours.sendall(b"are you there?")
        assert reads.recv(100) == b"are you there?"
        assert not is_gone(transport)
        reads.close()
        ours.sendall(b"and now?")
        until_blocking(lambda: is_gone(transport))
        ours.close()
