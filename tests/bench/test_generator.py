from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.bench.generator import Driver
from tests.bench.load import Plan
from tests.bench.outputs import Load

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno"


@asynccontextmanager
async def serving(answer: bytes, *, closes_after: int = 0) -> AsyncGenerator[int]:
    """A server that gives one answer to every request; it may close after a number of them."""

    ended = asyncio.Event()
    serving_now = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal serving_now
        count, serving_now = 0, serving_now + 1
        try:
            while not closes_after or count < closes_after:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(b"body"))
                count += 1
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        writer.close()
        serving_now -= 1
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        while serving_now:
            ended.clear()
            await ended.wait()


def _plan(port: int, *, rate: float = 0.0, connections: int = 4) -> Plan:
    return Plan("rest", port, "/x", b"body", {}, connections, seconds=0.3, warm_up_s=0.1, rate=rate)


def _run(answer: bytes, *, rate: float = 0.0, closes_after: int = 0) -> Load:
    async def run() -> Load:
        async with serving(answer, closes_after=closes_after) as port:
            return await Driver(_plan(port, rate=rate)).run()

    return asyncio.run(run())


def test_a_closed_loop_counts_good_answers_with_their_latencies() -> None:
    load = _run(GOOD)
    assert load.requests > 0
    assert load.failures == 0
    assert 0 < load.p50_us <= load.p99_us <= load.max_us


def test_an_open_loop_asks_exactly_as_often_as_it_should() -> None:
    load = _run(GOOD, rate=1000)
    assert 299 <= load.requests <= 301
    assert load.failures == 0


@pytest.mark.parametrize("rate", [0.0, 500.0])
def test_bad_answers_are_failures(rate: float) -> None:
    load = _run(BAD, rate=rate)
    assert load.failures == load.requests > 0


def test_connections_that_are_closed_are_made_again() -> None:
    load = _run(GOOD, rate=500, closes_after=5)
    assert load.requests >= 149
    assert load.requests - load.failures > 50


def test_a_server_that_nobody_can_reach_is_an_error() -> None:
    with pytest.raises(OSError, match="Connect"):
        asyncio.run(Driver(_plan(1)).run())


def test_an_answer_that_makes_no_sense_ends_the_run() -> None:
    with pytest.raises(Exception, match="content-length"):
        _run(b"HTTP/1.1 200 OK\r\n\r\n")
