"""The listener on loopback, with real sockets on uvloop: what a client can do to it, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import resource
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from gateway.core.clock import monotonic_s
from gateway.wire.exchange import Exchange, Service
from gateway.wire.listener import Listener
from gateway.wire.settings import WireSettings
from gateway.wire.sniff import PREFACE
from gateway.wire.tls import TlsSettings, server_context
from tests.fakes.http1 import chunked, get, parse_answers, post
from tests.fakes.services import TEXT, EchoService, RoutingService, StreamEndpoint, WholeEndpoint, echo
from tests.fakes.waiting import until
from tests.wire.test_sniff import FakeConnection

FILES = Path(__file__).parent / "certificates"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario, 60))


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until_closed(self, timeout_s: float = 30.0) -> bytes:
        """All that comes until the server closes; a reset counts as that."""
        data = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(timeout_s):
                while piece := await self.reader.read(1 << 20):
                    data += piece
        return data

    async def receive(self, size: int) -> bytes:
        async with asyncio.timeout(30):
            return await self.reader.readexactly(size)

    async def answer(self) -> bytes:
        """One answer with a content-length."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(size)

    def reset(self) -> None:
        """Goes away without goodbye."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Served:
    """A listener and its clients."""

    def __init__(self, service: Service, listener: Listener, port: int) -> None:
        self.service = service
        self.listener = listener
        self.port = port
        self.clients: list[Client] = []

    async def connect(self, **options: Any) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.clients.append(client)
        return client

    async def is_alive(self) -> bool:
        client = await self.connect()
        client.send(post("/", b"alive"))
        alive = (await client.answer()).endswith(b"alive")
        await client.close()
        return alive

    @property
    def open(self) -> int:
        return self.listener.statistics().open


@contextlib.asynccontextmanager
async def serving(
    service: Service | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    clock: Callable[[], float] = monotonic_s,
    http2: Any = None,
    **settings: Any,
) -> AsyncGenerator[Served, None]:
    service = service or EchoService()
    listener = Listener(service, WireSettings(**settings), clock, ssl=tls, http2=http2)
    _, port = await listener.start("127.0.0.1", 0)
    served = Served(service, listener, port)
    try:
        yield served
    finally:
        for client in served.clients:
            await client.close()
        await listener.drain(1.0)
        assert served.open == 0


MALFORMED = {
    "garbage": b"\x00\x01\x02\x03\xff\xfe",
    "a TLS hello on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "words": b"hello server\r\n",
    "a cut preface": PREFACE[:10] + b"nonsense\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/0.9": b"GET / HTTP/0.9\r\n\r\n",
    "HTTP/3.7": b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
    "HTTP/2.0 as text": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get("/", "Host: y"),
    "a bad host": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "one bare LF": b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "obs-fold": get("/", "A: b\r\n folded"),
    "a space before the colon": get("/", "A : b"),
    "a NUL": get("/", "A: \x00"),
    "a control character": get("/", "A: \x0b"),
    "an empty name": get("/", ": b"),
    "no colon": get("/", "nonsense"),
    "raw UTF-8 in the target": "GET /caf\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a space in the target": get("/a b"),
    "an unknown method": get("/", method="BREW"),
    "connect": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "both lengths": post("/", b"abc", "Transfer-Encoding: chunked"),
    "two lengths": post("/", b"abc", "Content-Length: 3"),
    "two different lengths": post("/", b"abc", "Content-Length: 4"),
    "a list of lengths": post("/", b"abc").replace(b": 3", b": 3, 3"),
    "a signed length": post("/", b"abc").replace(b": 3", b": +3"),
    "a negative length": post("/", b"abc").replace(b": 3", b": -3"),
    "a huge length": post("/", b"abc").replace(b": 3", b": 99999999999999999999"),
    "a length over the limit": post("/", b"abc").replace(b": 3", b": 3000000000"),
    "gzip, chunked": chunked("/", b"abc").replace(b": chunked", b": gzip, chunked"),
    "chunked, identity": chunked("/", b"abc").replace(b": chunked", b": chunked, identity"),
    "chunked twice": chunked("/", b"abc").replace(b": chunked", b": chunked\r\nTransfer-Encoding: chunked"),
    "xchunked": chunked("/", b"abc").replace(b": chunked", b": xchunked"),
    "chunked over HTTP/1.0": chunked("/", b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a bad chunk size": chunked("/", b"abc").replace(b"\r\n3\r\n", b"\r\n3x\r\n"),
    "a negative chunk size": chunked("/", b"abc").replace(b"\r\n3\r\n", b"\r\n-3\r\n"),
    "a long chunk": chunked("/", b"abc").replace(b"abc", b"abcd"),
    "a huge chunk": chunked("/").replace(b"\r\n0\r\n", b"\r\nffffffff\r\n"),
    "a bare LF after a size": chunked("/", b"abc").replace(b"\r\n3\r\n", b"\r\n3\n"),
    "a bad trailer": chunked("/", b"abc", trailers=b"nonsense\r\n"),
    "an impossible expectation": post("/", b"abc", "Expect: miracles"),
    "a long target": get("/" + "a" * 70_000),
    "a long field": get("/", "A: " + "a" * 70_000),
    "a long unfinished field": get("/", "A: " + "a" * 70_000)[:-100],
    "many fields": get("/", *["A: b"] * 200),
}


def test_malformed_requests_end_in_a_second_and_hurt_nobody() -> None:
    async def one(served: Served, name: str, raw: bytes, path: bytes) -> None:
        client = await served.connect()
        client.send(raw.replace(b" / ", b" " + path + b" ", 1))
        data = await client.until_closed(1.0)
        if not data:
            return
        (answer,) = parse_answers(data)
        assert 400 <= answer.status < 500 or answer.status == 501, name
        assert answer.headers["connection"] == "close", name

    async def scenario() -> None:
        async with serving() as served:
            for path in (b"/", b"/stream"):
                await asyncio.gather(*(one(served, name, raw, path) for name, raw in MALFORMED.items()))
                assert await served.is_alive()
            faults = served.listener.statistics().faults
            assert sum(faults.values()) >= len(MALFORMED)
            assert faults["header_limit"] == 8

    run(scenario())


def test_random_bytes() -> None:
    async def one(served: Served, seed: int) -> None:
        generator = random.Random(seed)
        raw = bytearray(post("/", b"abcdef") + chunked("/stream", b"abc", b"de") + get("/"))
        for _ in range(generator.randrange(1, 6)):
            raw[generator.randrange(len(raw))] = generator.randrange(256)
        client = await served.connect()
        client.send(bytes(raw) if seed % 3 else generator.randbytes(200))
        client.writer.write_eof()
        await client.until_closed()

    async def scenario() -> None:
        async with serving() as served:
            for start in range(0, 300, 50):
                await asyncio.gather(*(one(served, seed) for seed in range(start, start + 50)))
            assert await served.is_alive()
            await until(lambda: served.open <= 1)

    run(scenario())


class TestGoodClients:
    def test_keep_alive_and_counts(self) -> None:
        async def scenario() -> None:
            async with serving() as served:
                client = await served.connect()
                for number in range(50):
                    client.send(post("/", b"%d" % number))
                    assert (await client.answer()).endswith(b"\r\n\r\n%d" % number)
                statistics = served.listener.statistics()
                assert (statistics.open, statistics.accepted, dict(statistics.faults)) == (1, 1, {})

        run(scenario())

    def test_twenty_pipelined(self) -> None:
        async def scenario() -> None:
            async with serving() as served:
                client = await served.connect()
                client.send(b"".join(post("/", b"%d" % number) for number in range(19)))
                client.send(post("/", b"19", "Connection: close"))
                answers = parse_answers(await client.until_closed())
                assert [answer.body for answer in answers] == [b"%d" % number for number in range(20)]

        run(scenario())

    def test_half_closed_clients_are_answered(self) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                client = await served.connect()
                client.send(post("/late", b"x"))
                client.writer.write_eof()
                await until(lambda: service.late.calls)
                await asyncio.sleep(0.05)
                service.late.calls[0][0].respond(200, TEXT, b"for the half closed")
                (answer,) = parse_answers(await client.until_closed())
                assert answer.body == b"for the half closed"

        run(scenario())

    def test_a_refused_upload_reads_its_answer(self) -> None:
        async def scenario() -> None:
            async with serving(max_body_bytes=1 << 20) as served:
                client = await served.connect()
                client.send(post("/", b"x" * (20 << 20)))
                data = await client.until_closed()
                assert data.startswith(b"HTTP/1.1 413 ")

        run(scenario())

    def test_a_large_body_both_ways(self) -> None:
        async def scenario() -> None:
            async with serving() as served:
                client = await served.connect()
                body = random.Random(0).randbytes(32 << 20)
                client.send(post("/", body))
                assert (await client.answer()).endswith(body)

        run(scenario())

    def test_http2_by_preface(self) -> None:
        made: list[FakeConnection] = []

        def make(transport: asyncio.Transport, *rest: Any) -> FakeConnection:
            made.append(FakeConnection("h2", transport, rest[3]))
            return made[-1]

        async def scenario() -> None:
            async with serving(http2=make) as served:
                client = await served.connect()
                client.send(PREFACE)
                await until(lambda: made)
                client.send(b"frames")
                await until(lambda: made[0].data == PREFACE + b"frames")
                made[0].transport.abort()
                assert made[0].on_lost is not None
                made[0].on_lost()  # as a real one does from connection_lost
                assert served.open == 0

        run(scenario())


class TestGoneClients:
    """A client's end is seen in every state, and nothing of it is kept."""

    @pytest.mark.parametrize("how", ["reset", "close"])
    @pytest.mark.parametrize(
        "raw",
        [b"", b"GET / HT", post("/", b"abc")[:-1], chunked("/", b"abc")[:-3], post("/", b"x" * 100_000)[:-5]],
    )
    def test_before_the_request_is_whole(self, how: str, raw: bytes) -> None:
        async def scenario() -> None:
            async with serving() as served:
                client = await served.connect()
                client.send(raw)
                await until(lambda: served.open == 1)
                await asyncio.sleep(0.01)
                client.reset() if how == "reset" else await client.close()
                await until(lambda: served.open == 0)

        run(scenario())

    @pytest.mark.parametrize("how", ["reset", "close"])
    def test_while_it_is_answered(self, how: str) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                client = await served.connect()
                client.send(post("/late", b"x"))
                await until(lambda: service.late.calls)
                client.reset() if how == "reset" else await client.close()
                await until(lambda: service.late.gone == 1)
                await until(lambda: served.open == 0)

        run(scenario())

    @pytest.mark.parametrize("how", ["reset", "close"])
    def test_in_the_middle_of_an_answer(self, how: str) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                client = await served.connect()
                client.send(get("/late"))
                await until(lambda: service.late.calls)
                exchange = service.late.calls[0][0]
                exchange.start(200, TEXT)
                client.reset() if how == "reset" else await client.close()

                def gone() -> bool:
                    exchange.write(b"more")
                    return service.late.gone == 1

                await until(gone)
                await until(lambda: served.open == 0)

        run(scenario())

    def test_on_written_is_called_though_the_client_takes_nothing(self) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                client = await served.connect(limit=1)
                client.send(get("/late"))
                await until(lambda: service.late.calls)
                written: list[int] = []
                body = memoryview(bytearray(64 << 20))
                service.late.calls[0][0].respond(200, TEXT, body, on_written=lambda: written.append(1))
                assert not written
                client.reset()
                await until(lambda: written)

        run(scenario())


class TestSlowClients:
    def test_slow_heads_and_bodies_and_silence_end_by_the_clock(self) -> None:
        now = [0.0]

        async def scenario() -> None:
            async with serving(clock=lambda: now[0], body_min_rate=0) as served:
                head, body, silent, good = [await served.connect() for _ in range(4)]
                head.send(b"GET / HT")
                body.send(post("/", b"abc")[:-1])
                good.send(post("/", b"x"))
                assert (await good.answer()).endswith(b"x")
                await until(lambda: served.open == 4)
                await asyncio.sleep(0.6)  # every connection has been swept at 0 s
                now[0] = 11.0
                assert (await head.until_closed()).startswith(b"HTTP/1.1 408 ")
                assert (await body.until_closed()).startswith(b"HTTP/1.1 408 ")
                good.send(post("/", b"still here"))
                assert (await good.answer()).endswith(b"still here")
                await asyncio.sleep(0.6)
                now[0] = 132.0
                assert await silent.until_closed() == b""
                assert await good.until_closed() == b""
                faults = served.listener.statistics().faults
                assert (faults["head_timeout"], faults["body_timeout"]) == (1, 1)

        run(scenario())

    def test_a_slow_reader_of_a_long_stream_costs_no_memory(self) -> None:
        produced = [0]
        piece = b"x" * 65_536

        def produce(exchange: Exchange) -> None:
            while exchange.is_open and exchange.is_writable:
                exchange.write(piece)
                produced[0] += len(piece)

        def begin(exchange: Exchange) -> None:
            exchange.on_writable = lambda: produce(exchange)
            exchange.start(200, TEXT)
            produce(exchange)

        async def scenario() -> None:
            service = RoutingService(StreamEndpoint(opening=begin))
            async with serving(service) as served:
                client = await served.connect(limit=1 << 16)
                client.send(get("/"))
                taken = 0
                for _ in range(20):
                    taken += len(await client.receive(1 << 20))
                    # Ahead of the client: our buffer, and what the kernel holds for both sides.
                    assert produced[0] - taken < 16 << 20
                client.reset()
                await until(lambda: served.open == 0)

        run(scenario())

    def test_slow_clients_do_not_delay_others(self) -> None:
        async def scenario() -> None:
            async with serving() as served:
                slow = [await served.connect() for _ in range(200)]
                for client in slow:
                    client.send(b"POST / HTTP/1.1\r\nHost: ")
                for number in range(3):
                    for client in slow:
                        client.send(b"%d" % number)
                    assert await served.is_alive()

        run(scenario())


class TestManyConnections:
    def test_a_thousand_idle_ones(self) -> None:
        async def scenario() -> None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)
            if limit[0] < 2600:
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, limit[1]), limit[1]))
            try:
                async with serving() as served:
                    assert await served.is_alive()  # the loop makes descriptors of its own when first used
                    await until(lambda: served.open == 0)
                    descriptors = psutil.Process().num_fds()
                    for _ in range(10):
                        await asyncio.gather(*(served.connect() for _ in range(100)))
                    await until(lambda: served.open == 1000)
                    assert await served.is_alive()
                    for client in served.clients:
                        client.writer.transport.abort()
                    await until(lambda: served.open == 0)
                    await until(lambda: psutil.Process().num_fds() <= descriptors)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)

        run(scenario())

    def test_beyond_the_cap_clients_wait(self) -> None:
        async def scenario() -> None:
            async with serving(max_connections=2) as served:
                first, second, third = [await served.connect() for _ in range(3)]
                third.send(post("/", b"third"))
                for client in (first, second):
                    client.send(post("/", b"x"))
                    await client.answer()
                assert served.open == 2
                await first.close()
                assert (await third.answer()).endswith(b"third")
                assert served.open == 2

        run(scenario())

    def test_connections_leave_nothing_behind(self) -> None:
        async def scenario() -> None:
            async with serving() as served:
                for _ in range(3):
                    assert await served.is_alive()
                await until(lambda: served.open == 0)
                gc.collect()
                before = sum(type(thing).__name__ == "Http1Connection" for thing in gc.get_objects())
                for _ in range(50):
                    assert await served.is_alive()
                await until(lambda: served.open == 0)
                gc.collect()
                after = sum(type(thing).__name__ == "Http1Connection" for thing in gc.get_objects())
                assert after <= before + 1
                assert len(asyncio.all_tasks()) == 2  # this one and the one that waits for it

        run(scenario())


class TestDrain:
    def test_idle_ones_close_and_requests_in_flight_finish(self) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                idle, busy, streaming, sending = [await served.connect() for _ in range(4)]
                idle.send(post("/", b"x"))
                await idle.answer()
                busy.send(post("/late", b"busy"))
                streaming.send(get("/late"))
                sending.send(post("/", b"sending")[:-3])
                await until(lambda: len(service.late.calls) == 2)
                exchanges = {call[1]: call[0] for call in service.late.calls}
                exchanges[b""].start(200, TEXT)
                await asyncio.sleep(0.02)
                drain = asyncio.ensure_future(served.listener.drain(30.0))
                assert await idle.until_closed() == b""
                with pytest.raises(OSError, match="refused"):
                    await served.connect()
                sending.send(b"ing")
                (answer,) = parse_answers(await sending.until_closed())
                assert (answer.body, answer.headers["connection"]) == (b"sending", "close")
                exchanges[b"busy"].respond(200, TEXT, b"done")
                (answer,) = parse_answers(await busy.until_closed())
                assert (answer.body, answer.headers["connection"]) == (b"done", "close")
                assert not drain.done()
                exchanges[b""].write(b"last")
                exchanges[b""].finish()
                (answer,) = parse_answers(await streaming.until_closed())
                assert answer.body == b"last"
                await drain
                assert served.open == 0

        run(scenario())

    def test_fifty_of_fifty(self) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                clients = [await served.connect() for _ in range(50)]
                for number, client in enumerate(clients):
                    client.send(post("/late", b"%d" % number))
                await until(lambda: len(service.late.calls) == 50)
                drain = asyncio.ensure_future(served.listener.drain(30.0))
                await asyncio.sleep(0)
                for exchange, body, _ in service.late.calls:
                    exchange.respond(200, TEXT, body)
                for number, client in enumerate(clients):
                    (answer,) = parse_answers(await client.until_closed())
                    assert answer.body == b"%d" % number
                await drain

        run(scenario())

    def test_a_fresh_client_is_not_turned_away(self) -> None:
        async def scenario() -> None:
            async with serving() as served:
                client = await served.connect()
                drain = asyncio.ensure_future(served.listener.drain(30.0))
                await asyncio.sleep(0.05)
                client.send(post("/", b"in time"))
                (answer,) = parse_answers(await client.until_closed())
                assert answer.body == b"in time"
                await drain

        run(scenario())

    def test_the_rest_is_cut_off_at_the_timeout(self) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving(service) as served:
                client = await served.connect()
                client.send(post("/late", b"x"))
                await until(lambda: service.late.calls)
                await served.listener.drain(0.05)
                assert served.open == 0
                assert service.late.gone == 1
                assert await client.until_closed() == b""

        run(scenario())


def client_context(alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(FILES / "server.pem"))
    context.set_alpn_protocols([alpn])
    return context


def serving_tls(service: Service | None = None, **options: Any) -> Any:
    context = server_context(TlsSettings(certificate=FILES / "server.pem", key=FILES / "server.key"))
    return serving(service, tls=context, **options)


class TestTls:
    def test_requests_small_and_large(self) -> None:
        async def scenario() -> None:
            async with serving_tls() as served:
                client = await served.connect(ssl=client_context("http/1.1"), server_hostname="localhost")
                for body in (b"small", os.urandom(3 << 20)):
                    client.send(post("/", body))
                    assert (await client.answer()).endswith(body)

        run(scenario())

    def test_a_large_answer_is_written_and_reported(self) -> None:
        written: list[int] = []

        def answer(exchange: Exchange, body: Any) -> None:
            exchange.respond(200, TEXT, memoryview(bytes(8 << 20)), on_written=lambda: written.append(1))

        async def scenario() -> None:
            async with serving_tls(RoutingService(WholeEndpoint(answer))) as served:
                client = await served.connect(ssl=client_context("http/1.1"), server_hostname="localhost")
                client.send(get("/"))
                assert (await client.answer()).endswith(bytes(8 << 20))
                await until(lambda: written)

        run(scenario())

    def test_refusals_and_gone_clients(self) -> None:
        async def scenario() -> None:
            service = EchoService()
            async with serving_tls(service) as served:
                options = {"ssl": client_context("http/1.1"), "server_hostname": "localhost"}
                bad = await served.connect(**options)
                bad.send(b"nonsense\r\n\r\n")
                assert (await bad.answer()).startswith(b"HTTP/1.1 400 ")
                gone = await served.connect(**options)
                gone.send(get("/late"))
                await until(lambda: service.late.calls)
                gone.writer.transport.abort()
                await until(lambda: service.late.gone == 1)

        run(scenario())

    def test_no_tls_no_service(self) -> None:
        async def scenario() -> None:
            async with serving_tls() as served:
                client = await served.connect()
                client.send(get("/"))
                await client.until_closed()
                await until(lambda: served.open == 0)
                assert served.listener.statistics().faults == {"handshake": 1}

        run(scenario())

    def test_a_handshake_under_way_does_not_hold_a_drain_up(self) -> None:
        async def scenario() -> None:
            async with serving_tls() as served:
                await served.connect()
                await until(lambda: served.open == 1)
                await served.listener.drain(0.05)
                assert served.open == 0

        run(scenario())

    def test_http2_by_alpn(self) -> None:
        made: list[FakeConnection] = []

        def make(transport: asyncio.Transport, *rest: Any) -> FakeConnection:
            made.append(FakeConnection("h2", transport, rest[3]))
            return made[-1]

        async def scenario() -> None:
            async with serving_tls(http2=make) as served:
                await served.connect(ssl=client_context("h2"), server_hostname="localhost")
                await until(lambda: made)
                made[0].transport.abort()
                assert made[0].on_lost is not None
                made[0].on_lost()

        run(scenario())


def test_two_listeners_on_one_port() -> None:
    async def scenario() -> None:
        services = [RoutingService(WholeEndpoint(echo)) for _ in range(2)]
        listeners = [Listener(service, WireSettings(), monotonic_s) for service in services]
        _, port = await listeners[0].start("127.0.0.1", 0, reuse_port=True)
        await listeners[1].start("127.0.0.1", port, reuse_port=True)
        for number in range(40):
            client = Client(*await asyncio.open_connection("127.0.0.1", port))
            client.send(post("/", b"%d" % number))
            assert (await client.answer()).endswith(b"%d" % number)
            await client.close()
        assert all(listener.statistics().accepted for listener in listeners)
        for listener in listeners:
            await listener.drain(1.0)

    run(scenario())


def test_a_port_that_is_taken_is_an_error() -> None:
    async def scenario() -> None:
        async with serving() as served:
            other = Listener(EchoService(), WireSettings(), monotonic_s)
            with pytest.raises(OSError, match="in use"):
                await other.start("127.0.0.1", served.port)
            await other.drain(0)

    run(scenario())
