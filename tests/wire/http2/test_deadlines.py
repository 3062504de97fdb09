"""What must happen in time."""

from __future__ import annotations

import pytest

from gateway.core.errors import RequestTimeout
from gateway.wire.http2 import frames
from gateway.wire.http2.deadlines import Deadlines, Verdict
from gateway.wire.http2.frames import PREFACE, ErrorCode
from tests.fakes.http2 import Http2, data
from tests.fakes.services import TEXT, EchoService

HALF_HEADERS = frames.frame(1, 0, 1, b"\x83\x86")


@pytest.mark.parametrize(
    "said",
    [b"", PREFACE[:10], PREFACE, PREFACE + frames.settings([])[:8]],
    ids=["nothing", "part", "all", "cut"],
)
def test_a_slow_preface(said: bytes) -> None:
    http = Http2(greet=False)
    if said:
        http.send(said)
    http.sweep(9)
    assert not http.transport.closed
    http.sweep(2)
    assert http.failed_with() == ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("said", [b"\0\0", HALF_HEADERS[:10], HALF_HEADERS], ids=["length", "part", "block"])
def test_slow_headers(said: bytes) -> None:
    http = Http2()
    http.sweep(60)
    http.send(said)
    http.sweep(9)
    assert not http.transport.closed
    http.sweep(2)
    assert http.failed_with() == ErrorCode.ENHANCE_YOUR_CALM


def test_continuations_do_not_buy_time() -> None:
    http = Http2()
    http.send(HALF_HEADERS)
    for _ in range(12):
        http.send(frames.frame(9, 0, 1, b"\x84"))
        http.sweep(1)
    assert http.failed_with() == ErrorCode.ENHANCE_YOUR_CALM


def test_a_drip_does_not_buy_time() -> None:
    http = Http2()
    for byte in frames.frame(1, 4, 1, b"\x83\x86\x84" + b"\x00\x01a\x01b" * 3):
        http.send(bytes((byte,)))
        http.sweep(1)
    assert http.failed_with() == ErrorCode.ENHANCE_YOUR_CALM


def test_whole_frames_in_pieces_are_no_offence() -> None:
    http = Http2()
    for number in range(30):
        said = http.request(2 * number + 1, b"x")
        http.send(said[:4])
        http.sweep(1)
        http.send(said[4:])
    assert http.failed_with() is None
    assert http.answer(59).body == b"x"


@pytest.mark.parametrize("path", [b"/", b"/stream"])
@pytest.mark.parametrize("first", [b"", b"x"])
def test_a_silent_body(path: bytes, first: bytes) -> None:
    echoes = EchoService()
    http = Http2(echoes, body_idle_timeout_s=5)
    http.send(http.headers(1, path), data(1, first) if first else b"")
    http.sweep(4)
    assert http.connection.streams
    http.sweep(2)
    assert http.answer(1).status == 408
    endpoint = echoes.stream if path == b"/stream" else echoes.echo
    assert [type(error) for error in endpoint.refusals] == [RequestTimeout]
    http.send(http.request(3, b"next"))
    assert http.answer(3).body == b"next"


def test_a_slow_body() -> None:
    http = Http2()
    http.send(http.headers(1))
    for _ in range(40):
        http.send(data(1, b"x" * 10))
        http.sweep(0.5)
    assert http.answer(1).status == 408


def test_an_endless_body() -> None:
    http = Http2(body_timeout_s=20)
    http.send(http.headers(1))
    for _ in range(45):
        http.send(data(1, bytes(1000)))
        http.sweep(0.5)
    assert http.answer(1).status == 408


def test_a_conversation_may_pause() -> None:
    echoes = EchoService()
    http = Http2(echoes)
    http.send(http.headers(1, b"/stream"))
    exchange = echoes.stream.receivers[0].exchange
    exchange.start(200, TEXT)
    http.sweep(1000)
    http.send(data(1, b"still here", end=True))
    assert echoes.stream.receivers[0].body == b"still here"
    exchange.finish()
    assert http.answer(1).ended


def test_a_reader_that_paused_is_not_the_clients_fault() -> None:
    echoes = EchoService()
    http = Http2(echoes)
    http.send(http.headers(1, b"/stream"), data(1, b"x"))
    echoes.stream.receivers[0].exchange.pause_reading()
    http.sweep(60)
    assert http.connection.streams


def test_an_endpoint_may_take_its_time() -> None:
    http = Http2()
    http.send(http.request(1, b"", b"/late"))
    http.sweep(1000)
    assert http.connection.streams
    assert not http.transport.closed


@pytest.mark.parametrize("step", [0, 1, 10])
def test_a_client_that_takes_nothing_or_next_to_it(step: int) -> None:
    echoes = EchoService()
    http = Http2(echoes, client_settings=[(4, step)])
    http.send(http.request(1, b"", b"/late"))
    told: list[int] = []
    echoes.late.calls[0][0].respond(200, TEXT, bytes(5000), (), lambda: told.append(1))
    for _ in range(35):
        if step and http.connection.streams:
            http.send(frames.window_update(1, step))
        http.sweep(1)
    assert http.answer(1).reset == ErrorCode.CANCEL
    assert told == [1]
    assert http.connection.is_idle


def test_a_client_that_takes_some_may_go_on() -> None:
    echoes = EchoService()
    http = Http2(echoes, client_settings=[(4, 0)])
    http.send(http.request(1, b"", b"/late"))
    echoes.late.calls[0][0].respond(200, TEXT, bytes(10_000))
    for _ in range(10):
        http.sweep(20)
        http.send(frames.window_update(1, 1024))
    assert http.answer(1).ended


def test_a_transport_that_takes_nothing() -> None:
    echoes = EchoService()
    http = Http2(echoes, client_settings=[(4, 1 << 24)])
    http.send(
        frames.window_update(0, 1 << 24), http.request(1, b"", b"/late"), http.request(3, b"", b"/late")
    )
    http.transport.taking = False
    for exchange, _, _ in echoes.late.calls:
        exchange.respond(200, TEXT, bytes(1 << 20))
    http.sweep(29)
    assert not http.transport.aborted
    http.sweep(2)
    assert http.transport.aborted
    assert http.connection.is_idle


def test_a_transport_that_takes_nothing_after_the_end() -> None:
    http = Http2()
    http.transport.taking = False
    http.connection.close()
    http.sweep(29)
    assert not http.transport.aborted
    http.sweep(2)
    assert http.transport.aborted


def test_an_idle_connection_is_let_go() -> None:
    http = Http2(idle_timeout_s=10)
    for number in range(5):
        http.sweep(8)
        http.send(http.request(2 * number + 1))
    assert not http.transport.closed
    http.sweep(9)
    http.send(frames.ping(0, bytes(8)))  # keeps nothing alive
    http.sweep(4)
    assert http.failed_with() == ErrorCode.NO_ERROR


def test_an_open_stream_keeps_a_connection() -> None:
    http = Http2(idle_timeout_s=10)
    http.send(http.request(1, b"", b"/late"))
    http.sweep(100)
    assert not http.transport.closed


def test_an_old_connection_is_recycled() -> None:
    echoes = EchoService()
    http = Http2(echoes, max_connection_age_s=60, max_connection_age_grace_s=30)
    http.send(http.request(1, b"", b"/late"))
    http.sweep(59)
    assert http.goaway() is None
    http.sweep(3)
    assert http.goaway() is not None
    assert not http.transport.closed
    http.sweep(25)
    assert not http.transport.closed
    http.sweep(5)
    assert http.transport.aborted
    assert echoes.late.gone == 1


def test_a_young_connection_goes_on() -> None:
    http = Http2()
    deadlines = http.connection._deadlines
    assert isinstance(deadlines, Deadlines)
    connection = http.connection
    verdict = deadlines.judge(http.clock.now, connection._sender, connection._reception, 0)
    assert verdict is Verdict.GO_ON
