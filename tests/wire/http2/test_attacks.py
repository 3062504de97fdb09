"""What is known to bring HTTP/2 servers down, one test each; and what looks like it but is honest."""

from __future__ import annotations

import pytest

from gateway.wire.http2 import frames
from gateway.wire.http2.frames import END_HEADERS, ErrorCode, frame
from tests.fakes.http2 import Http2, data, request_fields, rst
from tests.fakes.services import TEXT, EchoService

CALM = ErrorCode.ENHANCE_YOUR_CALM


def test_rapid_reset() -> None:
    """CVE-2023-44487: requests that are reset as soon as they are made."""
    http = Http2()
    for stream in range(1, 5001, 2):
        http.send(http.request(stream, b"", b"/late") + rst(stream))
    assert http.failed_with() == CALM
    assert len(http.service.late.calls) <= 1001  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stream: frames.window_update(stream, 0),
        lambda stream: frames.window_update(stream, (1 << 31) - 1),
        lambda stream: data(stream, b"after the end"),
        lambda stream: frame(1, 4, stream, b"\x84"),
    ],
    ids=["window of nothing", "window overflow", "data after the end", "bad trailers"],
)
def test_made_you_reset(spoil) -> None:  # type: ignore[no-untyped-def]
    """CVE-2025-8671: the client makes the server reset streams that it goes on working for."""
    http = Http2()
    for stream in range(1, 5001, 2):
        open_ = http.headers(stream, b"/late")
        body = b"" if spoil(stream)[3] == 1 else data(stream, b"", end=True)
        http.send(open_ + body + spoil(stream))
    assert http.failed_with() == CALM


def test_many_missed_deadlines_are_honest() -> None:
    """3,000 calls, 60 % given up after 20 ms, 50 at a time: no connection is lost."""
    echoes = EchoService()
    http = Http2(echoes)
    stream = 1
    for _ in range(60):
        streams = range(stream, stream + 100, 2)
        for each in streams:
            http.send(http.request(each, b"", b"/late"))
        http.clock.now += 0.020
        for index, each in enumerate(streams):
            if index % 5 < 3:
                http.send(rst(each))
        for exchange, _, _ in echoes.late.calls:
            exchange.respond(200, TEXT, b"x")
        echoes.late.calls.clear()
        stream += 100
    assert http.failed_with() is None
    assert echoes.late.gone == 1800


@pytest.mark.parametrize("fragment", [b"", b"\x00\x01a\x01b", bytes(1)])
def test_continuation_flood(fragment: bytes) -> None:
    """CVE-2024-27316 and relatives: a header block without end."""
    http = Http2()
    http.send(frame(1, 0, 1, b"\x83\x86\x84"))
    for _ in range(100):
        http.send(frame(9, 0, 1, fragment))
    assert http.failed_with() == CALM


def test_continuations_of_many_bytes() -> None:
    http = Http2()
    http.send(frame(1, 0, 1, b"\x83\x86\x84"), *[frame(9, 0, 1, bytes(16_000))] * 10)
    assert http.failed_with() == CALM


def test_hpack_bomb() -> None:
    """CVE-2016-6581: a large table entry, named 65,000 times."""
    http = Http2()
    http.send(frame(1, 5, 1, b"\x83\x86\x84\x40\x01a\x7f\xa1\x1e" + b"b" * 4000))
    http.send(frame(1, 5, 3, b"\x83\x86\x84" + b"\xbe" * 65_000))
    assert http.failed_with() == CALM


def test_small_hpack_bombs() -> None:
    http = Http2()
    http.send(frame(1, 5, 1, b"\x83\x86\x84\x40\x01a\x7f\xa1\x1e" + b"b" * 4000))
    for stream in range(3, 101, 2):
        http.send(frame(1, 5, stream, b"\x83\x86\x84" + b"\xbe" * 100))
        assert http.answer(stream).status == 431


FLOODS = {
    "ping": frames.ping(0, bytes(8)),  # CVE-2019-9512
    "ping ack": frames.ping(frames.ACK, bytes(8)),
    "settings": frames.settings([]),  # CVE-2019-9515
    "settings with values": frames.settings([(4, 70_000)] * 100),
    "settings ack": frames.SETTINGS_ACK,
    "priority": frame(2, 0, 99, b"\0\0\0\0\x10"),  # CVE-2019-9513
    "unknown": frame(0x42, 0, 0, b""),
    "window update": frames.window_update(0, 1),  # CVE-2019-9511
    "window update of a stream": frames.window_update(1, 1),
    "late reset": rst(3),
    "goaway": frames.goaway(0, 0),
    "empty data": data(1, b""),  # CVE-2019-9518
    "padding only": data(1, b"", padding=10),
    "data after a reset": data(5, b""),
}


@pytest.mark.parametrize("said", FLOODS.values(), ids=FLOODS.keys())
def test_floods(said: bytes) -> None:
    http = Http2()
    http.send(http.headers(1, b"/late"), http.request(3), http.headers(5, b"/late"))
    http.connection.streams[5].abort()
    for _ in range(300):
        http.send(said * 10)
    assert http.failed_with() == CALM


def test_empty_headers_flood() -> None:
    """CVE-2019-9518 with HEADERS: blocks of nothing, each a malformed request."""
    http = Http2()
    for stream in range(1, 5001, 2):
        http.send(frame(1, 5, stream, b""))
    assert http.failed_with() == CALM


def test_a_pinging_client_with_work_is_honest() -> None:
    """grpc-go asks for the round trip's time on every one; grpcio sends two window updates a call."""
    http = Http2()
    for stream in range(1, 20_001, 2):
        http.send(
            http.headers(stream)
            + frames.window_update(stream, 5)
            + data(stream, b"x", end=True)
            + frames.ping(0, bytes(8))
            + frames.window_update(0, 7)
        )
        http.frames()
    assert http.failed_with() is None
    assert http.answer(19_999).ended


def test_streams_above_the_limit_again_and_again() -> None:
    http = Http2(http2_max_streams=1)
    http.send(http.request(1, b"", b"/late"))
    for stream in range(3, 30_001, 2):
        http.send(http.request(stream))
    assert http.failed_with() == CALM


def test_a_burst_above_the_limit_is_honest() -> None:
    """3,000 calls at once by a client that has not seen our SETTINGS yet."""
    http = Http2(greet=False)
    said = b"".join(http.request(stream, b"", b"/late") for stream in range(1, 6001, 2))
    http.send(frames.PREFACE + frames.settings([]) + said)
    assert http.failed_with() is None
    assert len(http.connection.streams) == 256


def test_an_internal_data_buffer_is_bounded() -> None:
    """CVE-2019-9517: large answers asked for on a connection that is not read."""
    echoes = EchoService()
    http = Http2(echoes, client_settings=[(4, (1 << 31) - 1)])
    http.send(frames.window_update(0, 1 << 30))
    http.transport.taking = False
    body = bytes(1 << 20)
    for stream in range(1, 1001, 2):
        http.send(http.request(stream, b"", b"/late"))
        for exchange, _, _ in echoes.late.calls:
            exchange.respond(200, TEXT, body)
        echoes.late.calls.clear()
    assert len(http.connection.streams) <= 256
    assert http.transport.get_write_buffer_size() < 1 << 20


def test_trailers_only_answers_are_bounded_too() -> None:
    """Answers without a body need no window; an unread transport must still hold them back."""
    echoes = EchoService()
    http = Http2(echoes, client_settings=[(4, 1 << 20)])
    http.send(frames.window_update(0, 1 << 20), http.request(1, b"", b"/late"))
    http.transport.taking = False
    echoes.late.calls.pop()[0].respond(200, TEXT, bytes(1 << 19))
    for stream in range(3, 20_001, 2):
        http.send(http.request(stream, b"", b"/late"))
        for exchange, _, _ in echoes.late.calls:
            exchange.respond(200, TEXT, b"", ((b"grpc-status", b"5"),))
        echoes.late.calls.clear()
    assert http.transport.get_write_buffer_size() < 1 << 20


def test_a_body_that_claims_to_be_large_holds_no_memory_of_ours() -> None:
    http = Http2()
    for stream in range(1, 101, 2):
        http.send(http.headers(stream, b"/", (b"content-length", b"200000000")))
    assert not http.memory.asked  # type: ignore[attr-defined]


def test_a_frame_sent_byte_by_byte_is_copied_twice_not_often() -> None:
    """A 60 KB header block in one-byte pieces: quadratic copying would move 1.8 GB here."""
    http = Http2()
    block = http.block(request_fields(b"/", b"POST", (b"a", b"b" * 60_000)))
    for byte in frame(1, END_HEADERS | 1, 1, block):
        http.connection.data_received(bytes((byte,)))
    assert http.answer(1).status == 200
