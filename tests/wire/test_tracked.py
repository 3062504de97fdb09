"""Real HTTP/2 connections behind the listener, spoken to by hyper-h2."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from gateway.wire.asgi import AsgiEndpoint, Receive, Scope, Send
from gateway.wire.exchange import Peer
from gateway.wire.http2 import frames
from gateway.wire.http2.frames import PREFACE, ErrorCode
from gateway.wire.settings import WireSettings
from gateway.wire.tracked import http2_connection
from tests.fakes.services import EchoService, RoutingService
from tests.fakes.transport import FakeTransport
from tests.fakes.waiting import until
from tests.wire.test_listener import Client, client_context, run, serving, serving_tls


class Http2Client:
    """One HTTP/2 client connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self.events: list[h2.events.Event] = []

    def ask(self, path: str, body: bytes | None) -> int:
        stream = int(self._h2.get_next_available_stream_id())
        method = "GET" if body is None else "POST"
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a.example")]
        self._h2.send_headers(stream, pseudo, end_stream=body is None)
        if body is not None:
            self._h2.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    def flush(self) -> None:
        self._client.send(self._h2.data_to_send())

    async def turn(self) -> bool:
        """Takes what comes next; False at the end of the connection."""
        async with asyncio.timeout(30):
            data = await self._client.reader.read(1 << 16)
        if data:
            self.events += self._h2.receive_data(data)
            self.flush()
        return bool(data)

    async def answer(self, stream: int) -> tuple[int, bytes]:
        while not any(isinstance(e, h2.events.StreamEnded) and e.stream_id == stream for e in self.events):
            assert await self.turn(), "closed before the answer"
        mine: list[Any] = [event for event in self.events if getattr(event, "stream_id", None) == stream]
        (head,) = (event.headers for event in mine if isinstance(event, h2.events.ResponseReceived))
        body = b"".join(event.data for event in mine if isinstance(event, h2.events.DataReceived))
        return int(dict(head)[b":status"]), body


@pytest.mark.parametrize("tls", [False, True])
def test_requests_by_preface_and_by_alpn(tls: bool) -> None:
    async def scenario() -> None:
        options = {"ssl": client_context("h2"), "server_hostname": "localhost"} if tls else {}
        async with serving_tls() if tls else serving() as served:
            client = Http2Client(await served.connect(**options))
            streams = [client.ask("/", b"%d" % number) for number in range(20)]
            for number, stream in enumerate(streams):
                assert await client.answer(stream) == (200, b"%d" % number)

    run(scenario())


def test_its_end_frees_its_place() -> None:
    async def scenario() -> None:
        service = EchoService()
        async with serving(service, max_connections=1) as served:
            first = Http2Client(await served.connect())
            first.ask("/late", b"x")
            await until(lambda: service.late.calls)
            assert served.open == 1
            served.clients[0].reset()
            await until(lambda: served.open == 0)
            assert service.late.gone == 1
            assert await served.is_alive()

    run(scenario())


def test_a_drain_waits_for_its_streams() -> None:
    async def scenario() -> None:
        service = EchoService()
        async with serving(service) as served:
            client = Http2Client(await served.connect())
            client.ask("/late", b"x")
            await until(lambda: service.late.calls)
            drain = asyncio.ensure_future(served.listener.drain(5.0))
            await asyncio.sleep(0)
            service.late.calls[0][0].respond(200, (), b"done")
            # hyper-h2 takes a graceful GOAWAY for the end, so the frames are looked at as bytes.
            data = await served.clients[0].until_closed(4.0)
            assert b"\x07\x00\x00\x00\x00\x00" in data  # a GOAWAY frame
            assert data.index(b"done")
            await drain
            assert served.open == 0

    run(scenario())


def test_frames_under_way_do_not_reset_the_last_answer() -> None:
    """A client slow to read still pings after our last byte, which a closed socket answers by a reset."""
    size = 60_000

    async def scenario() -> None:
        service = EchoService()
        async with serving(service) as served:
            loop = asyncio.get_running_loop()
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setblocking(False)
                await loop.sock_connect(sock, ("127.0.0.1", served.port))
                ask = frames.frame(1, 5, 1, b"\x83\x86\x44\x05/late")  # POST, http, the path in a literal
                leave = frames.goaway(0, ErrorCode.NO_ERROR)
                await loop.sock_sendall(sock, PREFACE + frames.settings(()) + ask + leave)
                await until(lambda: service.late.calls)
                service.late.calls[0][0].respond(200, (), bytes(size))
                await asyncio.sleep(0.05)  # now all of it is in the kernel, and a socket could be closed
                await loop.sock_sendall(sock, frames.ping(0, b"farewell"))
                received = 0
                while piece := await asyncio.wait_for(loop.sock_recv(sock, 1 << 20), 5):
                    received += len(piece)
                assert received > size
            await until(lambda: served.open == 0)

    run(scenario())


def test_a_body_less_get_through_the_bridge() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def scenario() -> None:
        endpoint = AsgiEndpoint(app, 1000)
        async with serving(RoutingService(endpoint)) as served:
            client = Http2Client(await served.connect())
            assert await client.answer(client.ask("/caf%C3%A9", None)) == (200, "/caf\u00e9".encode())
            assert await client.answer(client.ask("/%ff", None)) == (200, "/\ufffd".encode())
        await endpoint.aclose()

    run(scenario())


def test_without_body_memory() -> None:
    async def scenario() -> None:
        transport = FakeTransport()
        connection = http2_connection(transport, EchoService(), WireSettings(), lambda: 0.0, Peer(None), None)
        lost: list[int] = []
        connection.on_lost = lambda: lost.append(1)
        transport.set_protocol(connection)  # type: ignore[arg-type]
        transport.lose()
        assert lost == [1]

    run(scenario())
