"""The official server in this process, on uvloop as in a front; its clients in threads."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
import uvloop

from gateway.core.clock import monotonic_s
from gateway.frontends.v2_grpc.errors import HEADERS, OK
from gateway.frontends.v2_grpc.grpcio.listener import GrpcioListener
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.wire.exchange import Exchange
from gateway.wire.settings import WireSettings
from gateway.wire.tls import TlsSettings
from tests.fakes.services import RoutingService, StreamEndpoint, WholeEndpoint
from tests.fakes.waiting import until

FILES = Path("tests/wire/certificates")
SERVER = TlsSettings(certificate=FILES / "server.pem", key=FILES / "server.key")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario, 60))


def echo(exchange: Exchange, body: Any) -> None:
    exchange.respond(200, HEADERS, bytes(body), OK)


class Served:
    """A listener with an endpoint that echoes at `/a/Echo`, one that never answers, one that streams."""

    def __init__(self, listener: GrpcioListener, service: RoutingService, port: int) -> None:
        self.listener = listener
        self.late = service.by_path[b"/a/Late"]
        self.echo = service.by_path[b"/a/Echo"]
        self.port = port

    def seen(self) -> set[Any]:
        """The clients' addresses."""
        return {exchange.peer.address for exchange, _, _ in self.echo.calls}

    async def ask(self, call: Callable[[grpc.Channel], Any], credentials: Any = None) -> Any:
        """`call` with a channel of its own, in a thread."""

        def asked() -> Any:
            address = f"localhost:{self.port}"
            # Else all channels to one address share a connection.
            options = [("grpc.use_local_subchannel_pool", 1)]
            if credentials is None:
                channel = grpc.insecure_channel(address, options)
            else:
                channel = grpc.secure_channel(address, credentials, options)
            with channel:
                return call(channel)

        return await asyncio.to_thread(asked)


@contextlib.asynccontextmanager
async def serving(
    tls: TlsSettings | None = None, grpc_settings: GrpcSettings | None = None, **wire: Any
) -> AsyncGenerator[Served, None]:
    stream = StreamEndpoint(echo)
    service = RoutingService(
        WholeEndpoint(echo), **{"a/Echo": WholeEndpoint(echo), "a/Late": WholeEndpoint(), "a/Stream": stream}
    )
    listener = GrpcioListener(service, grpc_settings or GrpcSettings(), WireSettings(**wire), tls=tls)
    _, port = await listener.start("127.0.0.1", 0)
    try:
        yield Served(listener, service, port)
    finally:
        await listener.drain(0)


def say(path: str, message: bytes, **how: Any) -> Callable[[grpc.Channel], Any]:
    return lambda channel: channel.unary_unary(path)(message, timeout=10, **how)


def failure(path: str, message: bytes, **how: Any) -> Callable[[grpc.Channel], grpc.StatusCode]:
    """The status of a call that must fail."""

    def call(channel: grpc.Channel) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(path)(message, **{"timeout": 10, **how})
        return raised.value.code()

    return call


def status(path: str, message: bytes) -> Callable[[grpc.Channel], grpc.StatusCode]:
    """The status of a call, whichever it is."""

    def call(channel: grpc.Channel) -> grpc.StatusCode:
        try:
            channel.unary_unary(path)(message, timeout=30)
        except grpc.RpcError as error:
            return error.code()  # type: ignore[no-any-return,attr-defined]
        return grpc.StatusCode.OK

    return call


def test_calls_and_streams_come_back() -> None:
    async def scenario() -> None:
        async with serving() as served:
            assert await served.ask(say("/a/Echo", b"hello")) == b"hello"
            streamed = await served.ask(
                lambda channel: [*channel.stream_stream("/a/Stream")(iter([b"a", b"", b"c"]), timeout=10)]
            )
            assert streamed == [b"a", b"", b"c"]

    run(scenario())


def test_a_taken_port_is_an_os_error() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listener = GrpcioListener(RoutingService(WholeEndpoint()), GrpcSettings(), WireSettings())
            with pytest.raises(OSError, match="cannot bind"):
                await listener.start("127.0.0.1", taken.getsockname()[1])
            await listener.drain(0)

    run(scenario())


def test_two_listeners_share_a_port_where_they_may() -> None:
    async def scenario() -> None:
        listeners = [
            GrpcioListener(RoutingService(WholeEndpoint(echo)), GrpcSettings(), WireSettings()) for _ in "ab"
        ]
        _, port = await listeners[0].start("127.0.0.1", 0, reuse_port=True)
        assert await listeners[1].start("127.0.0.1", port, reuse_port=True) == ("127.0.0.1", port)
        for listener in listeners:
            await listener.drain(0)

    run(scenario())


def test_messages_over_the_limit_are_refused_and_so_are_those_that_grow_over_it() -> None:
    async def scenario() -> None:
        async with serving(grpc_settings=GrpcSettings(max_message_bytes=100_000)) as served:
            assert await served.ask(say("/a/Echo", bytes(100_000))) == bytes(100_000)
            too_large = failure("/a/Echo", bytes(100_001))
            assert await served.ask(too_large) is grpc.StatusCode.RESOURCE_EXHAUSTED
            bomb = failure("/a/Echo", bytes(10_000_000), compression=grpc.Compression.Gzip)
            assert await served.ask(bomb) is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(scenario())


@pytest.mark.parametrize("compresses", [True, False])
def test_answers_are_compressed_for_those_that_accept_it(compresses: bool) -> None:
    async def scenario() -> None:
        async with serving(grpc_settings=GrpcSettings(compress_responses=compresses)) as served:
            for accepted in ("gzip", "identity"):
                flag, message = await asyncio.to_thread(raw_call, served.port, bytes(10_000), accepted)
                assert flag == (compresses and accepted == "gzip")
                assert (gzip.decompress(message) if flag else message) == bytes(10_000)

    run(scenario())


def raw_call(port: int, message: bytes, accepts: str) -> tuple[int, bytes]:
    """The compression flag and the message of an answer, by hyper-h2."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    pseudo = [(":method", "POST"), (":scheme", "http"), (":path", "/a/Echo"), (":authority", "localhost")]
    headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-accept-encoding", accepts)]
    client.send_headers(1, [*pseudo, *headers])
    client.send_data(1, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
    body = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        while True:
            connection.sendall(client.data_to_send())
            for event in client.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                if isinstance(event, h2.events.StreamEnded):
                    return body[0], body[5:]


def test_a_client_that_cancels_is_told_to_the_endpoint() -> None:
    async def scenario() -> None:
        async with serving() as served:
            cancel = threading.Event()

            def call(channel: grpc.Channel) -> None:
                future = channel.unary_unary("/a/Late").future(b"", timeout=10)
                cancel.wait(30)
                future.cancel()

            async with asyncio.TaskGroup() as group:
                group.create_task(served.ask(call))
                await until(lambda: len(served.late.calls) == 1)
                assert served.listener.statistics().open == 1
                cancel.set()
            await until(lambda: served.late.gone == 1)
            await until(lambda: served.listener.statistics().open == 0)

    run(scenario())


def test_the_deadline_ends_a_call_that_its_endpoint_does_not() -> None:
    async def scenario() -> None:
        async with serving() as served:
            late = failure("/a/Late", b"", timeout=0.1)
            assert await served.ask(late) is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: served.listener.statistics().open == 0)
            assert served.late.gone == 0

    run(scenario())


def test_a_drain_lets_calls_finish_and_takes_no_new_ones() -> None:
    async def scenario() -> None:
        async with serving() as served, asyncio.TaskGroup() as group:
            asked = group.create_task(served.ask(say("/a/Late", b"last")))
            await until(lambda: len(served.late.calls) == 1)
            drain = group.create_task(served.listener.drain(10))
            # grpc closes its socket in a thread of its own: a call may still slip in before that.
            async with asyncio.timeout(30):
                while await served.ask(status("/a/Echo", b"")) is not grpc.StatusCode.UNAVAILABLE:
                    pass
            exchange, body, _ = served.late.calls[0]
            echo(exchange, body)
            assert await asked == b"last"
            await drain

    run(scenario())


def test_what_does_not_finish_in_time_is_ended() -> None:
    async def scenario() -> None:
        async with serving() as served, asyncio.TaskGroup() as group:
            group.create_task(served.ask(failure("/a/Late", b"")))
            await until(lambda: len(served.late.calls) == 1)
            await served.listener.drain(0.1)
            await until(lambda: served.late.gone == 1)

    run(scenario())


def test_tls_as_the_settings_say() -> None:
    trusted = grpc.ssl_channel_credentials((FILES / "server.pem").read_bytes())

    async def scenario() -> None:
        async with serving(SERVER) as served:
            assert await served.ask(say("/a/Echo", b"sealed"), trusted) == b"sealed"
            assert await served.ask(failure("/a/Echo", b"")) is grpc.StatusCode.UNAVAILABLE

    run(scenario())


def test_clients_prove_who_they_are_where_an_authority_is_set() -> None:
    authority = (FILES / "server.pem").read_bytes()
    unknown = grpc.ssl_channel_credentials(authority)
    alice = grpc.ssl_channel_credentials(
        authority, (FILES / "client.key").read_bytes(), (FILES / "client.pem").read_bytes()
    )

    async def scenario() -> None:
        async with serving(SERVER.model_copy(update={"client_ca": FILES / "authority.pem"})) as served:
            assert await served.ask(failure("/a/Echo", b""), unknown) is grpc.StatusCode.UNAVAILABLE
            cancel = failure("/a/Late", b"", timeout=0.2)
            assert await served.ask(cancel, alice) is grpc.StatusCode.DEADLINE_EXCEEDED
            assert served.late.calls[0][0].peer.tls_subject == "alice"

    run(scenario())


def test_old_connections_are_recycled_without_a_failed_call() -> None:
    async def scenario() -> None:
        # grpcio spreads ages by a tenth either way.
        async with serving(max_connection_age_s=0.1, max_connection_age_grace_s=5) as served:

            def many(channel: grpc.Channel) -> None:
                call = channel.unary_unary("/a/Echo")
                give_up = monotonic_s() + 10
                while len(served.seen()) < 3:
                    assert call(b"x", timeout=10) == b"x"
                    assert monotonic_s() < give_up

            await served.ask(many)

    run(scenario())


def test_connections_beyond_the_limit_are_not_served() -> None:
    async def scenario() -> None:
        async with serving(max_connections=1) as served, asyncio.TaskGroup() as group:
            asked = group.create_task(served.ask(say("/a/Late", b"first")))
            await until(lambda: len(served.late.calls) == 1)
            second = failure("/a/Echo", b"", timeout=1)
            assert await served.ask(second) is grpc.StatusCode.UNAVAILABLE
            exchange, body, _ = served.late.calls[0]
            echo(exchange, body)
            assert await asked == b"first"

    run(scenario())


def test_metadata_beyond_the_limit_is_refused() -> None:
    async def scenario() -> None:
        async with serving(max_header_bytes=4096) as served:
            for size, fits in ((2000, True), (8000, False)):
                call = say if fits else failure
                answer = await served.ask(call("/a/Echo", b"x", metadata=(("note", "n" * size),)))
                assert answer == (b"x" if fits else grpc.StatusCode.RESOURCE_EXHAUSTED)

    run(scenario())
