from __future__ import annotations

import pytest

from gateway.wire.exchange import Exchange, Headers
from gateway.wire.http1.exchange import JOIN_BYTES, Http1Exchange
from tests.fakes.http1 import Http1, chunked, get
from tests.fakes.services import TEXT, RoutingService, StreamEndpoint, WholeEndpoint


def waiting(
    *fields: str, method: str = "GET", version: str = "1.1", **settings: int
) -> tuple[Http1, Exchange]:
    """A connection with a request that waits for its answer."""
    endpoint = WholeEndpoint()
    http = Http1(RoutingService(endpoint), **settings)
    http.send(get("/", *fields, method=method, version=version))
    return http, endpoint.calls[0][0]


class TestRespond:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", b""),
            (b"abc", b"abc"),
            (bytearray(b"abc"), b"abc"),
            (memoryview(b"abcd").cast("I"), b"abcd"),
            ((b"ab", bytearray(b"c"), memoryview(b"d")), b"abcd"),
            ((), b""),
            (b"x" * (JOIN_BYTES + 1), b"x" * (JOIN_BYTES + 1)),
            ((b"h", b"x" * JOIN_BYTES, b"", b"t"), b"h" + b"x" * JOIN_BYTES + b"t"),
        ],
    )
    @pytest.mark.parametrize("status", [200, 404, 999])
    def test_bodies(self, status: int, body: bytes, expected: bytes) -> None:
        http, exchange = waiting()
        exchange.respond(status, TEXT, body)
        answer = http.answer()
        assert (answer.status, answer.body) == (status, expected)
        assert answer.headers == {"content-type": "text/plain", "content-length": str(len(expected))}
        assert not exchange.is_open

    def test_head_tells_the_size_only(self) -> None:
        for body in (b"abc", b"x" * 100_000):
            http, exchange = waiting(method="HEAD")
            exchange.respond(200, TEXT, body)
            answer = http.answer(to_head=True)
            assert answer.headers["content-length"] == str(len(body))
            assert http.connection.is_idle

    @pytest.mark.parametrize("status", [204, 304])
    def test_statuses_without_a_body(self, status: int) -> None:
        http, exchange = waiting()
        exchange.respond(status, TEXT, b"ignored")
        answer = http.answer()
        assert "content-length" not in answer.headers
        assert http.connection.is_idle

    def test_large_buffers_are_not_copied(self) -> None:
        http, exchange = waiting()
        http.transport.taking = False
        large = bytearray(b"x" * 200_000)
        exchange.respond(200, TEXT, (b"small", memoryview(large)))
        assert [len(piece) for piece in http.transport.unsent][1:] == [5, 200_000]
        assert http.transport.unsent[-1].obj is large

    def test_on_written_when_all_is_taken(self) -> None:
        http, exchange = waiting()
        http.transport.taking = False
        written: list[int] = []
        exchange.respond(200, TEXT, b"x" * 200_000, on_written=lambda: written.append(1))
        http.transport.take(199_000)
        assert not written
        http.transport.take()
        assert written == [1]
        assert http.transport.get_write_buffer_limits()[1] == 1 << 20
        assert http.connection.is_writable

    def test_on_written_at_once_when_copied_or_taken(self) -> None:
        for body in (b"x", b"x" * 200_000):
            http, exchange = waiting()
            written: list[int] = []
            exchange.respond(200, TEXT, body, on_written=lambda seen=written: seen.append(1))  # type: ignore[misc]
            assert written == [1]
            assert len(http.answers()) == 1

    def test_on_written_when_the_client_is_lost(self) -> None:
        http, exchange = waiting()
        http.transport.taking = False
        written: list[int] = []
        exchange.respond(200, TEXT, b"x" * 200_000, on_written=lambda: written.append(1))
        http.transport.lose()
        assert written == [1]

    @pytest.mark.parametrize(
        "headers",
        [
            ((b"a\r\nb", b"c"),),
            ((b"a", b"b\r\nc: d"),),
            ((b"a", b"b\x00"),),
            ((b"", b"b"),),
            ((b"Connection", b"close"),),
            ((b"transfer-encoding", b"chunked"),),
        ],
    )
    def test_fields_that_would_break_the_framing(self, headers: Headers) -> None:
        for act in (Exchange.respond, Exchange.start):
            http, exchange = waiting()
            with pytest.raises(ValueError, match="cannot be sent"):
                getattr(exchange, act.__name__)(200, headers)
            assert http.raw() == b""
            assert exchange.is_open

    def test_trailers_are_for_http2(self) -> None:
        http, exchange = waiting()
        exchange.respond(200, TEXT, b"x", trailers=((b"grpc-status", b"0"),))
        assert http.answer().body == b"x"


class TestStream:
    def test_chunks(self) -> None:
        http, exchange = waiting()
        exchange.start(200, TEXT)
        assert http.raw().endswith(b"transfer-encoding: chunked\r\n\r\n")
        exchange.write(b"abc")
        http.run()
        assert http.raw() == b"3\r\nabc\r\n"
        exchange.write(b"")
        assert http.raw() == b""
        exchange.write(memoryview(b"x" * (JOIN_BYTES + 1)))
        assert http.raw() == b"%x\r\n%b\r\n" % (JOIN_BYTES + 1, b"x" * (JOIN_BYTES + 1))
        exchange.finish(((b"t", b"1"),))
        assert http.raw() == b"0\r\n\r\n"
        assert http.connection.is_idle

    def test_small_chunks_of_one_turn_are_one(self) -> None:
        http, exchange = waiting()
        exchange.start(200, TEXT)
        http.raw()
        writes = http.transport.write_calls
        for piece in (b"one ", b"two ", bytearray(b"three")):
            exchange.write(piece)
        assert http.raw() == b""
        http.run()
        assert (http.raw(), http.transport.write_calls) == (b"d\r\none two three\r\n", writes + 1)
        exchange.write(b"four")
        exchange.finish()
        http.run()
        assert (http.raw(), http.transport.write_calls) == (b"4\r\nfour\r\n0\r\n\r\n", writes + 2)

    def test_many_small_chunks_do_not_wait_for_its_end(self) -> None:
        http, exchange = waiting()
        exchange.start(200, TEXT)
        http.raw()
        for _ in range(5):
            exchange.write(bytes(4000))
        assert http.raw() == b"4e20\r\n%b\r\n" % bytes(20_000)
        exchange.write(b"a")
        exchange.write(bytes(17_000))
        exchange.write(b"b")
        http.run()
        assert http.raw() == b"1\r\na\r\n4268\r\n%b\r\n1\r\nb\r\n" % bytes(17_000)

    def test_a_client_that_goes_within_a_turn(self) -> None:
        http, exchange = waiting()
        exchange.start(200, TEXT)
        http.raw()
        exchange.write(b"abc")
        http.transport.lose()
        http.run()
        assert (http.raw(), exchange.is_open) == (b"", False)

    def test_a_declared_length(self) -> None:
        http, exchange = waiting()
        exchange.start(200, ((b"content-length", b"5"),))
        exchange.write(b"ab")
        exchange.write(b"cde")
        exchange.finish()
        assert http.answer().body == b"abcde"
        assert http.connection.is_idle

    def test_less_than_declared(self) -> None:
        http, exchange = waiting()
        exchange.start(200, ((b"content-length", b"5"),))
        exchange.write(b"ab")
        exchange.finish()
        assert http.transport.aborted

    def test_more_than_declared(self) -> None:
        http, exchange = waiting()
        exchange.start(200, ((b"content-length", b"1"),))
        with pytest.raises(RuntimeError):
            exchange.write(b"ab")
        assert http.transport.aborted

    def test_nonsense_declared(self) -> None:
        _, exchange = waiting()
        with pytest.raises(ValueError, match="content-length"):
            exchange.start(200, ((b"content-length", b"5 apples"),))

    def test_http10_ends_with_the_connection(self) -> None:
        http, exchange = waiting("Connection: keep-alive", version="1.0")
        exchange.start(200, TEXT)
        exchange.write(b"abc")
        exchange.finish()
        raw = http.raw()
        assert raw.endswith(b"connection: close\r\n\r\nabc")
        assert b"chunked" not in raw
        assert http.transport.closed

    def test_head_and_bodiless_statuses(self) -> None:
        for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304)):
            http, exchange = waiting(method=method)
            exchange.start(status, TEXT)
            exchange.write(b"abc")
            exchange.finish()
            assert http.raw().endswith(b"text/plain\r\n\r\n")
            assert http.connection.is_idle

    def test_head_keeps_its_declared_length(self) -> None:
        http, exchange = waiting(method="HEAD")
        exchange.start(200, ((b"content-length", b"5"),))
        exchange.finish()
        assert b"content-length: 5" in http.raw()

    def test_abort_leaves_the_answer_incomplete(self) -> None:
        http, exchange = waiting()
        exchange.start(200, TEXT)
        exchange.write(b"abc")
        exchange.abort()
        assert http.transport.aborted
        assert http.raw().endswith(b"3\r\nabc\r\n")
        assert not exchange.is_open

    def test_a_slow_reader_stops_the_writer(self) -> None:
        http, exchange = waiting(write_buffer_bytes=1 << 14)
        seen: list[bool] = []
        exchange.on_writable = lambda: seen.append(exchange.is_writable)
        http.transport.taking = False
        exchange.start(200, TEXT)
        written = 0
        while exchange.is_writable:
            exchange.write(b"x" * 1000)
            written += 1
        assert written < 20
        http.transport.take()
        assert seen == [True]

    def test_full_duplex(self) -> None:
        endpoint = StreamEndpoint(
            at_end=lambda exchange, body: exchange.finish(),
            opening=lambda exchange: exchange.start(200, TEXT),
        )
        http = Http1(RoutingService(endpoint))
        raw = chunked("/", b"one", b"two")
        head, _, body = raw.partition(b"\r\n\r\n")
        http.send(head + b"\r\n\r\n")
        endpoint.receivers[0].on_piece = lambda exchange, data: exchange.write(b"re " + data)
        assert b"200 OK" in http.raw()
        http.send(body[:8])
        assert http.raw() == b"6\r\nre one\r\n"
        http.send(body[8:])
        assert http.raw() == b"6\r\nre two\r\n0\r\n\r\n"
        assert http.connection.is_idle

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_order_of_calls(self, version: str) -> None:
        _, exchange = waiting(version=version)
        for early in (lambda: exchange.write(b"x"), exchange.finish):
            with pytest.raises(RuntimeError):
                early()
        exchange.start(200, TEXT)
        with pytest.raises(RuntimeError):
            exchange.start(200, TEXT)
        with pytest.raises(RuntimeError):
            exchange.respond(200, TEXT)


class TestEarlyAnswers:
    def test_an_answer_before_the_bodys_end_closes(self) -> None:
        endpoint = StreamEndpoint()
        http = Http1(RoutingService(endpoint))
        http.send(chunked("/", b"abc")[:-5])
        endpoint.receivers[0].exchange.respond(200, TEXT, b"enough")
        assert http.answer().headers["connection"] == "close"
        assert http.transport.eof_written

    def test_an_answer_to_a_request_without_a_body_does_not(self) -> None:
        http = Http1(
            RoutingService(StreamEndpoint(opening=lambda exchange: exchange.respond(200, TEXT, b"at once")))
        )
        http.send(get("/"), get("/"))
        assert [answer.body for answer in http.answers()] == [b"at once"] * 2
        assert http.connection.is_idle


def test_an_ended_exchange_holds_nothing() -> None:
    http, exchange = waiting()
    exchange.on_gone = exchange.on_writable = lambda: None
    exchange.respond(200, TEXT)
    assert exchange.on_gone is None
    assert exchange.on_writable is None
    assert exchange.is_writable
    exchange.pause_reading()
    exchange.resume_reading()
    assert http.transport.reading
    assert isinstance(exchange, Http1Exchange)
    exchange.client_gone()
