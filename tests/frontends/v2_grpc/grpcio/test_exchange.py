from __future__ import annotations

import asyncio

import grpc
import pytest

from gateway.core.errors import InvalidInput, Overloaded
from gateway.frontends.v2_grpc.errors import HEADERS, OK, answer_error
from gateway.frontends.v2_grpc.framing import frame
from gateway.frontends.v2_grpc.grpcio.exchange import GrpcioExchange
from gateway.wire.exchange import Head, Peer
from tests.fakes.grpcio import FakeContext

HEAD = Head(b"POST", b"/a/B", (), http_version="2")


def make() -> GrpcioExchange:
    return GrpcioExchange(HEAD, Peer(None), write_buffer_bytes=10)


def delivered(exchange: GrpcioExchange) -> FakeContext:
    async def run() -> FakeContext:
        context = FakeContext()
        await exchange.deliver(context)
        return context

    return asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    [
        frame(b"answer"),
        (frame(b"answer"),),
        (frame(b"answer")[:8], memoryview(b"wer")),
        (frame(b"answer")[:2], frame(b"answer")[2:]),
        (frame(b"answer")[:5], b"", b"answer"),
    ],
    ids=["bytes", "one", "two", "prefix in parts", "prefix alone"],
)
def test_an_answer_in_any_parts_is_one_message(body) -> None:
    exchange = make()
    written = []
    exchange.respond(200, HEADERS, body, OK, lambda: written.append(True))
    context = delivered(exchange)
    assert context.sent == [b"answer"]
    assert context.code is grpc.StatusCode.OK
    assert written == [True]
    assert context.initial is None, "an operation more than needed"


def test_several_messages_in_one_body_stay_apart() -> None:
    exchange = make()
    exchange.respond(200, HEADERS, frame(b"a") + frame(b"") + frame(b"c"), OK)
    assert delivered(exchange).sent == [b"a", b"", b"c"]


def test_an_error_is_a_status_with_its_text_and_pushback() -> None:
    exchange = make()
    answer_error(exchange, Overloaded("100 % voll: ü", retry_after_s=2.0))
    context = delivered(exchange)
    assert (context.sent, context.code) == ([], grpc.StatusCode.UNAVAILABLE)
    assert context.details == "100 % voll: ü"
    assert context.trailing == (("grpc-retry-pushback-ms", "2000"),)


def test_headers_of_the_answer_are_initial_metadata_without_what_grpcio_sends() -> None:
    exchange = make()
    extra = ((b"grpc-accept-encoding", b"gzip"), (b"x-note", b"n"), (b"x-bin", b"AAE"))
    answer_error(exchange, InvalidInput("no"), extra)
    assert delivered(exchange).initial == (("x-note", "n"), ("x-bin", b"\0\1"))


def test_there_is_one_answer_and_nothing_after_it() -> None:
    exchange = make()
    exchange.respond(200, HEADERS, frame(b"first"), OK)
    written = []
    exchange.respond(200, HEADERS, frame(b"second"), OK, lambda: written.append(True))
    exchange.write(frame(b"third"))
    exchange.finish()
    exchange.abort()
    assert not exchange.is_open
    assert delivered(exchange).sent == []  # the abort took what was not yet sent
    assert written == [True]


def test_a_status_that_is_no_grpc_is_unknown() -> None:
    exchange = make()
    exchange.respond(415, (), b"text")
    context = delivered(exchange)
    assert (context.code, context.sent) == (grpc.StatusCode.UNKNOWN, [])
    assert context.details == "HTTP status 415"


def test_an_abort_is_seen_by_the_client() -> None:
    exchange = make()
    exchange.start(200, HEADERS)
    exchange.abort()
    assert delivered(exchange).code is grpc.StatusCode.INTERNAL


def test_a_stream_begins_at_once_and_slow_readers_are_felt() -> None:
    async def run() -> None:
        context, exchange, told = FakeContext(), make(), []
        exchange.on_writable = lambda: told.append(True)
        async with asyncio.TaskGroup() as group:
            group.create_task(exchange.deliver(context))
            exchange.start(200, HEADERS)
            await asyncio.sleep(0)
            assert context.initial == ()
            context.may_write.clear()
            exchange.write(frame(b"0123456789ab")[:7])
            assert exchange.is_writable
            exchange.write(frame(b"0123456789ab")[7:])
            exchange.write(frame(b"x"))
            await asyncio.sleep(0)
            assert not exchange.is_writable
            assert not told
            context.may_write.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert exchange.is_writable
            assert told == [True]
            exchange.finish(OK)
        assert context.sent == [b"0123456789ab", b"x"]
        assert context.code is grpc.StatusCode.OK

    asyncio.run(run())


def test_room_is_told_of_where_it_was_filled_while_another_message_was_written() -> None:
    async def run() -> None:
        context, exchange, told = FakeContext(), make(), []
        exchange.on_writable = lambda: told.append(True)
        async with asyncio.TaskGroup() as group:
            group.create_task(exchange.deliver(context))
            exchange.start(200, HEADERS)
            await asyncio.sleep(0)
            context.may_write.clear()
            exchange.write(frame(b"123456"))
            await asyncio.sleep(0)  # it is being written, and there was room when that began
            exchange.write(frame(b"123456"))
            assert not exchange.is_writable
            context.may_write.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert told == [True]
            exchange.finish(OK)

    asyncio.run(run())


def test_a_client_that_is_gone_is_told_of_once_and_never_after_the_end() -> None:
    told = []
    gone, ended = make(), make()
    gone.on_gone = ended.on_gone = lambda: told.append(True)
    ended.respond(200, HEADERS, b"", OK)
    ended.gone()
    assert told == []
    gone.gone()
    gone.gone()
    assert told == [True]
    assert not gone.is_open


def test_reading_can_be_paused() -> None:
    async def run() -> None:
        exchange = make()
        exchange.pause_reading()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(exchange.wait_until_readable())
            await asyncio.sleep(0)
            assert not waiting.done()
            exchange.resume_reading()

    asyncio.run(run())
