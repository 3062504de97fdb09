from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.wire.connection import Connection
from gateway.wire.exchange import Peer
from gateway.wire.settings import WireSettings
from gateway.wire.sniff import FRESH_S, PREFACE, Sniffer
from tests.fakes.transport import FakeTransport


class FakeConnection(asyncio.Protocol):
    """Remembers what it was given."""

    def __init__(self, kind: str, transport: asyncio.Transport, peer: Peer) -> None:
        self.kind = kind
        self.peer = peer
        self.transport = transport
        self.data = b""
        self.drains = 0
        self.data_at_drain: bytes | None = None
        self.on_lost = None
        self.is_idle = True

    def data_received(self, data: bytes) -> None:
        self.data += data

    def drain(self) -> None:
        self.drains += 1
        self.data_at_drain = self.data

    def sweep(self, now: float) -> None:
        raise AssertionError("not in these tests")

    def close(self) -> None:
        raise AssertionError("not in these tests")


class FakeTls:
    """The server's end of a handshake."""

    def __init__(self, alpn: str | None) -> None:
        self._alpn = alpn

    def selected_alpn_protocol(self) -> str | None:
        return self._alpn

    def getpeercert(self) -> dict[str, Any]:
        return {"subject": ((("organizationName", "tests"),), (("commonName", "alice"),))}


class Sniffing:
    def __init__(self, **extra: Any) -> None:
        self.now = 0.0
        self.chosen: list[Connection] = []
        self.lost = 0
        self.transport = FakeTransport(extra=extra)
        self.sniffer = Sniffer(
            lambda transport, peer: FakeConnection("http/1.1", transport, peer),  # type: ignore[arg-type,return-value]
            lambda transport, peer: FakeConnection("h2", transport, peer),  # type: ignore[arg-type,return-value]
            ("192.0.2.1", 1),
            WireSettings(headers_timeout_s=10, idle_timeout_s=60),
            lambda: self.now,
        )
        self.sniffer.on_choice = self.chosen.append
        self.sniffer.on_lost = self._count_lost
        self.transport.set_protocol(self.sniffer)
        self.sniffer.connection_made(self.transport)

    @property
    def connection(self) -> FakeConnection:
        (connection,) = self.chosen
        assert isinstance(connection, FakeConnection)
        assert self.transport.get_protocol() is connection
        return connection

    def _count_lost(self) -> None:
        self.lost += 1

    def sweep(self, now: float) -> None:
        self.now = now
        self.sniffer.sweep(now)


def test_the_preface_cut_at_any_byte() -> None:
    for cut in range(1, len(PREFACE)):
        sniffing = Sniffing()
        sniffing.sniffer.data_received(PREFACE[:cut])
        assert not sniffing.chosen
        sniffing.sniffer.data_received(PREFACE[cut:] + b"frames")
        assert sniffing.connection.kind == "h2"
        assert sniffing.connection.data == PREFACE + b"frames"


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"P", b"PRI * HTTP/2.0\r\n\r\nXX", b"\x16\x03\x01", b"PRI * HTTP/1.1"]
)
def test_all_else_is_http1(data: bytes) -> None:
    sniffing = Sniffing()
    for at in range(len(data)):
        if not sniffing.chosen:
            sniffing.sniffer.data_received(data[at : at + 1])
    if data == b"P":
        assert not sniffing.chosen
        sniffing.sniffer.data_received(b"OST")
    assert sniffing.connection.kind == "http/1.1"
    assert (data + b"OST").startswith(sniffing.connection.data)


def test_alpn_decides_before_the_first_byte() -> None:
    sniffing = Sniffing(ssl_object=FakeTls("h2"))
    assert sniffing.connection.kind == "h2"
    assert sniffing.connection.peer == Peer(("192.0.2.1", 1), "alice")
    assert sniffing.connection.data == b""


@pytest.mark.parametrize("alpn", ["http/1.1", None])
def test_other_alpn_waits_for_bytes(alpn: str | None) -> None:
    sniffing = Sniffing(ssl_object=FakeTls(alpn))
    assert not sniffing.chosen
    sniffing.sniffer.data_received(b"GET")
    assert sniffing.connection.kind == "http/1.1"
    assert sniffing.connection.peer.tls_subject == "alice"


def test_silence_is_idle_and_a_cut_preface_is_slow() -> None:
    silent, slow = Sniffing(), Sniffing()
    slow.sniffer.data_received(b"PRI")
    assert silent.sniffer.is_idle
    assert not slow.sniffer.is_idle
    for sniffing in (silent, slow):
        sniffing.sweep(10.0)
        assert not sniffing.transport.closed
        sniffing.sweep(10.5)
    assert slow.transport.closed
    assert not silent.transport.closed
    silent.sweep(60.5)
    assert silent.transport.closed
    assert silent.lost == slow.lost == 1


def test_a_drain_waits_for_the_first_request_of_a_fresh_client() -> None:
    sniffing = Sniffing()
    sniffing.sniffer.drain()
    sniffing.sweep(FRESH_S)
    sniffing.sniffer.data_received(b"GET / HTTP")
    assert sniffing.connection.data_at_drain == b"GET / HTTP"


def test_but_not_for_long() -> None:
    sniffing = Sniffing()
    sniffing.sniffer.drain()
    sniffing.sweep(FRESH_S + 0.1)
    assert sniffing.transport.closed


def test_a_client_that_leaves_without_a_word() -> None:
    sniffing = Sniffing()
    assert sniffing.sniffer.eof_received() is False
    sniffing.transport.lose()
    assert sniffing.lost == 1
