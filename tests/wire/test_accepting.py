from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from gateway.wire.accepting import Acceptor, listening_socket
from tests.fakes.waiting import until


class Clients:
    """Connects to a listening socket; closes everything at the end."""

    def __init__(self, listening: socket.socket) -> None:
        self._address = listening.getsockname()
        self.open: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.create_connection(self._address)
        self.open.append(client)
        return client

    def close(self) -> None:
        for sock in self.open:
            sock.close()


class ShortOfDescriptors:
    """A listening socket in a process that has used up its descriptors, but for the one kept in reserve."""

    def __init__(self, sock: socket.socket, failures: list[int]) -> None:
        self._sock = sock
        self._failures = failures

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self._failures:
            raise OSError(self._failures.pop(0), "no room")
        return self._sock.accept()

    def close(self) -> None:
        self._sock.close()


def test_an_address_that_is_taken() -> None:
    with listening_socket("127.0.0.1", 0, reuse_port=False) as first, pytest.raises(OSError, match="in use"):
        listening_socket("127.0.0.1", first.getsockname()[1], reuse_port=False)


def test_an_address_shared_on_purpose() -> None:
    with (
        listening_socket("127.0.0.1", 0, reuse_port=True) as first,
        listening_socket("127.0.0.1", first.getsockname()[1], reuse_port=True) as second,
    ):
        assert first.getsockname() == second.getsockname()


def test_ipv6() -> None:
    try:
        sock = listening_socket("::1", 0, reuse_port=False)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with sock:
        assert sock.family == socket.AF_INET6


async def accept_pause_resume() -> None:
    listening = listening_socket("127.0.0.1", 0, reuse_port=False)
    clients, accepted = Clients(listening), []
    acceptor = Acceptor(listening, lambda sock, address: accepted.append(sock), asyncio.get_running_loop())
    acceptor.resume()
    acceptor.resume()
    clients.connect()
    await until(lambda: len(accepted) == 1)
    acceptor.pause()
    clients.connect()
    await asyncio.sleep(0)
    assert len(accepted) == 1
    acceptor.resume()
    await until(lambda: len(accepted) == 2)
    acceptor.pause()
    clients.connect()
    acceptor.resume()
    acceptor.close()  # takes what waits
    assert len(accepted) == 3
    acceptor.close()
    acceptor.resume()
    assert not acceptor.is_accepting
    for sock in accepted:
        sock.close()
    clients.close()


def test_accept_pause_resume() -> None:
    asyncio.run(accept_pause_resume())


async def run_out(failures: list[int], *, refused: int) -> None:
    listening = listening_socket("127.0.0.1", 0, reuse_port=False)
    clients, accepted = Clients(listening), []
    acceptor = Acceptor(
        ShortOfDescriptors(listening, failures),  # type: ignore[arg-type]
        lambda sock, address: accepted.append(sock),
        asyncio.get_running_loop(),
    )
    first = clients.connect()
    acceptor.resume()
    await until(lambda: not acceptor.is_accepting)
    assert acceptor.refused == refused
    if refused:
        first.settimeout(30)
        assert first.recv(1) == b""
    acceptor.resume()
    clients.connect()
    await until(lambda: accepted)
    acceptor.close()
    for sock in accepted:
        sock.close()
    clients.close()


def test_running_out_of_descriptors_pauses_and_tells_one_client() -> None:
    asyncio.run(run_out([errno.EMFILE], refused=1))


def test_other_errors_pause_too() -> None:
    asyncio.run(run_out([errno.EINVAL], refused=0))


def test_a_client_gone_before_accept_is_nobodys_fault() -> None:
    async def scenario() -> None:
        listening = listening_socket("127.0.0.1", 0, reuse_port=False)
        clients, accepted = Clients(listening), []
        acceptor = Acceptor(
            ShortOfDescriptors(listening, [errno.ECONNABORTED] * 3),  # type: ignore[arg-type]
            lambda sock, address: accepted.append(sock),
            asyncio.get_running_loop(),
        )
        clients.connect()
        acceptor.resume()
        await until(lambda: accepted)
        assert acceptor.is_accepting
        acceptor.close()
        accepted[0].close()
        clients.close()

    asyncio.run(scenario())
