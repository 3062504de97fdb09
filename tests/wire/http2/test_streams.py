"""The forms an answer takes."""

from __future__ import annotations

import logging

import pytest

from gateway.core.errors import Overloaded
from gateway.wire.exchange import Exchange
from gateway.wire.http2 import frames
from gateway.wire.http2.frames import DATA, END_STREAM, HEADERS, ErrorCode
from gateway.wire.http2.streams import Http2Exchange
from tests.fakes.http2 import PEER, Http2, data, rst
from tests.fakes.services import TEXT, EchoService, RoutingService, StreamEndpoint, WholeEndpoint

GRPC = ((b"content-type", b"application/grpc"),)
OK = ((b"grpc-status", b"0"),)


def late(stream_id: int = 1, body: bytes = b"x") -> tuple[Http2, Exchange, WholeEndpoint]:
    """A connection with one request that waits for its answer."""
    echoes = EchoService()
    http = Http2(echoes)
    http.send(http.request(stream_id, body, b"/late"))
    return http, echoes.late.calls[-1][0], echoes.late


@pytest.mark.parametrize("times", [1, 3])
def test_a_unary_call_is_one_write(times: int) -> None:
    written: list[None] = []
    body = (b"\0\0\0\0\2", b"hi")
    endpoint = WholeEndpoint(
        lambda exchange, _: exchange.respond(200, GRPC, body, OK, lambda: written.append(None))
    )
    http = Http2(RoutingService(endpoint))
    for stream_id in range(1, 2 * times, 2):
        http.transport.write_calls = 0
        http.send(http.request(stream_id))
        if stream_id > 1:  # the first one fills the cache of blocks
            assert http.transport.write_calls == 1
        found = http.answer(stream_id)
        assert (found.status, found.body, found.ended) == (200, b"\0\0\0\0\2hi", True)
        assert found.trailers == dict(OK)
    assert len(written) == times
    assert http.connection.is_idle


def test_a_body_without_trailers_has_its_length() -> None:
    http = Http2()
    http.send(http.request(1, b"hello"))
    assert http.answer(1).headers == [[(b":status", b"200"), *TEXT, (b"content-length", b"5")]]
    last = http.all[-1]
    assert (last.kind, last.flags) == (DATA, END_STREAM)


def test_an_error_is_one_frame() -> None:
    http, exchange, _ = late()
    exchange.respond(200, GRPC, b"", ((b"grpc-status", b"5"),))
    (only,) = http.frames()
    assert (only.kind, only.flags) == (HEADERS, 5)
    assert http.answers[1].headers == [[(b":status", b"200"), *GRPC, (b"grpc-status", b"5")]]


@pytest.mark.parametrize(("status", "length"), [(200, b"0"), (204, None), (304, None)])
def test_no_body(status: int, length: bytes | None) -> None:
    http, exchange, _ = late()
    exchange.respond(status, (), b"" if length else b"never sent")
    assert dict(http.answer(1).headers[0]).get(b"content-length") == length
    assert http.answers[1].ended
    assert http.answers[1].body == b""


def test_head_requests_get_no_body() -> None:
    http = Http2()
    http.send(http.headers(1, method=b"HEAD", end=True))
    http.send(http.headers(3, b"/stream", method=b"HEAD", end=True))
    assert http.answer(1).body == http.answer(3).body == b""
    assert http.answers[1].ended
    assert http.answers[3].ended


def test_pieces() -> None:
    http, exchange, _ = late()
    assert exchange.is_open
    exchange.start(200, GRPC)
    assert http.answer(1).status == 200
    changing = bytearray(b"one")
    exchange.write(changing)
    changing[:] = b"???"
    exchange.write(memoryview(b"two"))
    exchange.write(b"")
    assert http.answer(1).body == b"onetwo"
    exchange.finish(OK)
    assert not exchange.is_open
    assert http.answer(1).trailers == dict(OK)
    assert http.answers[1].ended
    assert http.connection.is_idle


def test_pieces_without_trailers() -> None:
    http, exchange, _ = late()
    exchange.start(200, ())
    exchange.finish()
    assert http.answer(1).ended
    assert http.all[-1][:3] == (DATA, END_STREAM, 1)


def test_calls_after_the_end_do_nothing_but_tell() -> None:
    http, exchange, endpoint = late()
    told: list[str] = []
    exchange.respond(200, TEXT, b"first", (), lambda: told.append("first"))
    seen = http.transport.write_calls
    exchange.respond(200, TEXT, b"second", (), lambda: told.append("second"))
    exchange.start(200, TEXT)
    exchange.write(b"x")
    exchange.finish()
    exchange.abort()
    exchange.pause_reading()
    exchange.resume_reading()
    assert told == ["first", "second"]
    assert http.transport.write_calls == seen
    assert exchange.is_writable
    assert endpoint.gone == 0


def test_answers_to_those_who_have_gone() -> None:
    http, exchange, endpoint = late()
    http.send(rst(1))
    assert endpoint.gone == 1
    assert not exchange.is_open
    told: list[int] = []
    exchange.respond(200, TEXT, b"x", OK, lambda: told.append(1))
    assert told == [1]
    assert not http.frames()


def test_abort_is_seen_as_an_error() -> None:
    http, exchange, endpoint = late()
    exchange.start(200, TEXT)
    exchange.write(b"half")
    exchange.abort()
    assert http.answer(1).reset == ErrorCode.INTERNAL_ERROR
    assert not http.answers[1].ended
    assert endpoint.gone == 0
    assert http.connection.is_idle


def test_an_answer_before_the_body_ends_the_upload() -> None:
    endpoint = StreamEndpoint(opening=lambda exchange: exchange.respond(403, TEXT, b"no"))
    http = Http2(RoutingService(endpoint))
    http.send(http.headers(1))
    assert http.answer(1).body == b"no"
    assert http.answers[1].reset is None
    before = len(http.all)
    http.send(data(1, b"x" * 1000), http.request(3))
    assert http.answer(3).ended
    assert all(frame.stream_id != 1 for frame in http.all[before:])
    http.sweep(1)
    assert http.answer(1).reset == ErrorCode.NO_ERROR
    http.send(data(1, b"x" * 1000), data(1, b"y", end=True), http.request(5))
    assert http.answer(5).ended
    assert http.failed_with() is None


@pytest.mark.parametrize("end", [data(1, b"x", end=True), rst(1), frames.frame(HEADERS, 5, 1, b"")])
def test_an_upload_that_ends_in_time_is_not_reset(end: bytes) -> None:
    endpoint = StreamEndpoint(opening=lambda exchange: exchange.respond(403, TEXT, b"no"))
    http = Http2(RoutingService(endpoint))
    http.send(http.headers(1), data(1, bytes(1000)), end)
    http.sweep(2)
    assert http.answer(1).reset is None
    assert http.failed_with() is None


def test_uploads_that_go_on_are_few() -> None:
    endpoint = StreamEndpoint(opening=lambda exchange: exchange.respond(403, TEXT, b"no"))
    http = Http2(RoutingService(endpoint))
    http.send(*[http.headers(stream) for stream in range(1, 1001, 2)])
    resets = [frame.stream_id for frame in http.kinds(frames.RST_STREAM)]
    assert resets == list(range(1, 1001, 2))[:-256]


def test_a_failing_endpoint_costs_one_request(caplog: pytest.LogCaptureFixture) -> None:
    http = Http2()
    with caplog.at_level(logging.CRITICAL):
        http.send(http.request(1, b"", b"/fail"), http.request(3, b"", b"/fail"), http.request(5, b"fine"))
    assert http.answer(1).reset == http.answer(3).reset == ErrorCode.INTERNAL_ERROR
    assert http.answer(5).body == b"fine"


def test_a_header_that_http_forbids_ends_the_stream() -> None:
    http, exchange, _ = late()
    with pytest.raises(ValueError, match="CR, LF"):
        exchange.respond(200, ((b"a", b"b\r\nc: d"),), b"x")
    assert http.answer(1).reset == ErrorCode.INTERNAL_ERROR


def test_refusals() -> None:
    http, exchange, endpoint = late()
    assert isinstance(exchange, Http2Exchange)
    assert exchange.peer is PEER
    exchange.refuse(Overloaded("busy"))
    assert http.answer(1).status == 500
    assert [error.text for error in endpoint.refusals] == ["busy"]
    exchange.refuse(Overloaded("again"))
    assert len(endpoint.refusals) == 1


def test_what_has_begun_is_broken_off_not_refused() -> None:
    http, exchange, endpoint = late()
    assert isinstance(exchange, Http2Exchange)
    exchange.start(200, TEXT)
    exchange.refuse(Overloaded("busy"))
    assert http.answer(1).reset == ErrorCode.CANCEL
    assert endpoint.gone == 1
    assert not endpoint.refusals
