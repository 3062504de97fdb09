"""Frames and what is wrong with them: RFC 9113 §4 to §6, one row per rule."""

from __future__ import annotations

import pytest

from gateway.wire.http2 import frames
from gateway.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    frame,
)
from gateway.wire.http2.reception import LAST_ORDINARY_ID
from tests.fakes.http2 import Http2, data, request_fields, rst

PROTOCOL = ErrorCode.PROTOCOL_ERROR
SIZE = ErrorCode.FRAME_SIZE_ERROR
CLOSED = ErrorCode.STREAM_CLOSED
FLOW = ErrorCode.FLOW_CONTROL_ERROR
CALM = ErrorCode.ENHANCE_YOUR_CALM
# :method POST, :scheme http, :path /
BLOCK = b"\x83\x86\x84"
OPEN = frame(HEADERS, END_HEADERS, 1, BLOCK)
DONE = frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK)

CONNECTION_ERRORS: dict[str, tuple[bytes, ErrorCode]] = {
    "DATA on stream 0": (data(0, b"x"), PROTOCOL),
    "DATA on an idle stream": (data(1, b"x"), PROTOCOL),
    "DATA on a server's stream": (OPEN + data(2, b"x"), PROTOCOL),
    "DATA padding too long": (OPEN + frame(DATA, PADDED, 1, b"\x05abc"), PROTOCOL),
    "DATA padded and empty": (OPEN + frame(DATA, PADDED, 1, b""), PROTOCOL),
    "HEADERS on stream 0": (frame(HEADERS, END_HEADERS, 0, BLOCK), PROTOCOL),
    "HEADERS on an even stream": (frame(HEADERS, END_HEADERS, 2, BLOCK), PROTOCOL),
    "HEADERS with a lower id": (frame(HEADERS, 5, 5, BLOCK) + frame(HEADERS, 5, 3, BLOCK), CLOSED),
    "HEADERS on a finished stream": (DONE + DONE, CLOSED),
    "HEADERS padding too long": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\x09" + BLOCK), PROTOCOL),
    "HEADERS padded and empty": (frame(HEADERS, END_HEADERS | PADDED, 1, b""), SIZE),
    "HEADERS without its priority": (frame(HEADERS, END_HEADERS | PRIORITISED, 1, b"\0\0"), SIZE),
    "HEADERS on itself": (frame(HEADERS, 4 | PRIORITISED, 1, b"\0\0\0\x01\x10" + BLOCK), PROTOCOL),
    "a bad header block": (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), 9),
    "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, b"\0\0\0\0\0"), PROTOCOL),
    "PRIORITY of 4 bytes": (frame(PRIORITY, 0, 1, b"\0\0\0\0"), SIZE),
    "PRIORITY on itself": (frame(PRIORITY, 0, 1, b"\0\0\0\x01\0"), PROTOCOL),
    "RST_STREAM on stream 0": (rst(0), PROTOCOL),
    "RST_STREAM on an idle stream": (rst(1), PROTOCOL),
    "RST_STREAM of 3 bytes": (OPEN + frame(RST_STREAM, 0, 1, b"\0\0\0"), SIZE),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1, b""), PROTOCOL),
    "SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, b"12345"), SIZE),
    "SETTINGS ACK with a payload": (frame(SETTINGS, ACK, 0, b"123456"), SIZE),
    "ENABLE_PUSH 2": (frames.settings([(2, 2)]), PROTOCOL),
    "INITIAL_WINDOW_SIZE 2^31": (frames.settings([(4, 1 << 31)]), FLOW),
    "MAX_FRAME_SIZE 16383": (frames.settings([(5, 16_383)]), PROTOCOL),
    "MAX_FRAME_SIZE 2^24": (frames.settings([(5, 1 << 24)]), PROTOCOL),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, 4, 1, b"\0\0\0\x02" + BLOCK), PROTOCOL),
    "PING on a stream": (frame(PING, 0, 1, bytes(8)), PROTOCOL),
    "PING of 7 bytes": (frame(PING, 0, 0, bytes(7)), SIZE),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "GOAWAY of 7 bytes": (frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    "WINDOW_UPDATE of 3 bytes": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "WINDOW_UPDATE of nothing": (frames.window_update(0, 0), PROTOCOL),
    "WINDOW_UPDATE on an idle stream": (frames.window_update(1, 1), PROTOCOL),
    "WINDOW_UPDATE overflows": (frames.window_update(0, (1 << 31) - 1), FLOW),
    "CONTINUATION alone": (frame(CONTINUATION, 4, 1, BLOCK), PROTOCOL),
    "CONTINUATION after the end": (OPEN + frame(CONTINUATION, 4, 1, BLOCK), PROTOCOL),
    "CONTINUATION elsewhere": (frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 4, 3, b""), PROTOCOL),
    "DATA within a block": (frame(HEADERS, 0, 1, BLOCK) + data(1, b"x"), PROTOCOL),
    "PING within a block": (frame(HEADERS, 0, 1, BLOCK) + frame(PING, 0, 0, bytes(8)), PROTOCOL),
    "HEADERS within a block": (frame(HEADERS, 0, 1, BLOCK) + frame(HEADERS, 5, 3, BLOCK), PROTOCOL),
    "a frame over MAX_FRAME_SIZE": (frame(77, 0, 0, b"")[:0] + b"\x10\x00\x01\x4d\0\0\0\0\0", SIZE),
    "a control frame of 1 MiB": (b"\x10\x00\x00\x04\0\0\0\0\0", CALM),
}


@pytest.mark.parametrize(("said", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS.keys())
def test_connection_errors(said: bytes, code: ErrorCode) -> None:
    http = Http2()
    http.send(said)
    assert http.failed_with() == code
    assert not http.connection.streams
    http.send(said)  # what comes after the end is ignored


@pytest.mark.parametrize(("said", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS.keys())
def test_connection_errors_byte_by_byte(said: bytes, code: ErrorCode) -> None:
    http = Http2()
    for at in range(len(said)):
        http.send(said[at : at + 1])
    assert http.failed_with() == code


STREAM_ERRORS: dict[str, tuple[bytes, ErrorCode]] = {
    "DATA after the end": (b"", CLOSED),
    "no path": (frame(HEADERS, 5, 1, b"\x83\x86"), PROTOCOL),
    "upper-case name": (frame(HEADERS, 5, 1, BLOCK + b"\x00\x01A\x01b"), PROTOCOL),
    "more than content-length": (
        frame(HEADERS, 4, 1, BLOCK + b"\x0f\x0d\x012") + data(1, b"abc", end=True),
        PROTOCOL,
    ),
    "less than content-length": (
        frame(HEADERS, 4, 1, BLOCK + b"\x0f\x0d\x012") + data(1, b"a", end=True),
        PROTOCOL,
    ),
    "content-length without a body": (frame(HEADERS, 5, 1, BLOCK + b"\x0f\x0d\x012"), PROTOCOL),
    "trailers without END_STREAM": (OPEN + frame(HEADERS, 4, 1, b"\x00\x01a\x01b"), PROTOCOL),
    "pseudo-header in trailers": (OPEN + frame(HEADERS, 5, 1, b"\x84"), PROTOCOL),
    "WINDOW_UPDATE of nothing": (OPEN + frames.window_update(1, 0), PROTOCOL),
    "WINDOW_UPDATE overflows": (OPEN + frames.window_update(1, (1 << 31) - 1), FLOW),
}


@pytest.mark.parametrize(("said", "code"), list(STREAM_ERRORS.values())[1:], ids=list(STREAM_ERRORS)[1:])
def test_stream_errors_leave_the_connection(said: bytes, code: ErrorCode) -> None:
    http = Http2()
    http.send(said)
    assert http.answer(1).reset == code
    http.send(http.request(3, b"still here"))
    assert http.answer(3).body == b"still here"


def test_data_after_the_end_of_an_open_stream() -> None:
    http = Http2()
    http.send(http.request(1, b"x", b"/late"), data(1, b"more"))
    assert http.answer(1).reset == CLOSED
    assert http.failed_with() is None


def test_data_on_a_closed_stream_is_one_streams_fault() -> None:
    http = Http2()
    http.send(http.request(1), data(1, b"late"))
    assert http.answer(1).reset == CLOSED
    assert http.failed_with() is None


def test_headers_after_the_end_of_an_open_stream() -> None:
    http = Http2()
    http.send(http.request(1, b"x", b"/late"), frame(HEADERS, 5, 1, BLOCK))
    assert http.failed_with() == CLOSED


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/1",
        PREFACE[:-1] + b"x",
        PREFACE + frame(PING, 0, 0, bytes(8)),
        PREFACE + frames.SETTINGS_ACK,
    ],
)
def test_a_bad_preface(start: bytes) -> None:
    http = Http2(greet=False)
    http.send(start)
    assert http.failed_with() == PROTOCOL


def test_the_preface_byte_by_byte() -> None:
    http = Http2(greet=False)
    for byte in PREFACE + frames.settings([(3, 1)]) + http.request(1, b"hello"):
        http.send(bytes((byte,)))
    assert http.answer(1).body == b"hello"


def test_unknown_frames_and_settings_are_ignored() -> None:
    http = Http2()
    http.send(frame(0x42, 0xFF, 9, b"whatever"), frames.settings([(0x4242, 1)]), http.request(1, b"x"))
    assert http.answer(1).body == b"x"


def test_the_reserved_bit_is_ignored() -> None:
    http = Http2()
    block = http.block(request_fields())
    http.send(frame(HEADERS, 4, 1 | 1 << 31, block) + frame(DATA, 1, 1 | 1 << 31, b"x"))
    assert http.answer(1).body == b"x"


def test_a_block_in_parts_with_padding_and_priority() -> None:
    http = Http2()
    block = http.block(request_fields(b"/", b"POST", (b"a", b"b" * 100)))
    first = frame(HEADERS, PADDED | PRIORITISED, 1, b"\x03" + b"\0\0\0\0\x10" + block[:5] + bytes(3))
    rest = frame(CONTINUATION, 0, 1, block[5:9]) + frame(CONTINUATION, END_HEADERS, 1, block[9:])
    http.send(first + rest + data(1, b"x", end=True, padding=200))
    assert http.answer(1).body == b"x"
    http = Http2()
    for byte in first + rest + data(1, b"x", end=True, padding=200):
        http.send(bytes((byte,)))
    assert http.answer(1).body == b"x"


def test_every_cut_of_a_few_requests() -> None:
    http = Http2()
    said = http.request(1, b"one") + http.headers(3) + data(3, b"two", padding=4) + data(3, b"", end=True)
    said += http.headers(5, b"/stream") + data(5, b"th") + data(5, b"ree") + frame(HEADERS, 5, 5, b"")
    for cut in range(1, len(said)):
        http = Http2()
        http.send(said[:cut], said[cut:])
        assert [http.answer(stream).body for stream in (1, 3, 5)] == [b"one", b"two", b"three"], cut


def test_near_the_last_id_the_connection_is_drained() -> None:
    http = Http2()
    http.send(http.request(LAST_ORDINARY_ID + 2, b"x"))
    assert http.answer(LAST_ORDINARY_ID + 2).body == b"x"
    away = http.goaway()
    assert away is not None
    assert away.code == ErrorCode.NO_ERROR


def test_the_first_frames_tell_our_limits() -> None:
    http = Http2(greet=False, http2_max_streams=7, http2_stream_window=70_000, http2_max_frame_size=20_000)
    settings, update = http.frames()
    told = dict(frames.parse_settings(settings.payload))
    assert (told[3], told[4], told[5], told[6], told[9]) == (7, 70_000, 20_000, 64 << 10, 1)
    assert frames.WORD.unpack(update.payload)[0] == (16 << 20) - 65_535
