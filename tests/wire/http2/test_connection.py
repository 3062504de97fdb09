"""A connection's life: requests in any number, drain, half-close, loss."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from gateway.core.tensor import Buffer
from gateway.wire.exchange import Exchange
from gateway.wire.half_closed import LINGER_S
from gateway.wire.http2 import frames
from gateway.wire.http2.connection import Phase
from gateway.wire.http2.frames import GOAWAY, MAX_STREAM_ID, PING, ErrorCode
from tests.fakes.http2 import Http2, data, rst
from tests.fakes.services import TEXT, EchoService, RoutingService, WholeEndpoint
from tests.fakes.transport import FakeSocket

OK = ((b"grpc-status", b"0"),)


def test_many_requests_in_one_piece() -> None:
    http = Http2()
    http.send(b"".join(http.request(stream, b"%d" % stream) for stream in range(1, 400, 2)))
    assert all(http.answer(stream).body == b"%d" % stream for stream in range(1, 400, 2))


def test_repeated_heads_are_one_object() -> None:
    echoes = EchoService()
    http = Http2(echoes)
    for stream in range(1, 21, 2):
        http.send(http.request(stream, b"", b"/late"))
    heads = {id(exchange.head) for exchange, _, _ in echoes.late.calls}
    assert len(heads) <= 4  # the first inserts, the second is seen, from the third on it is known
    assert echoes.routed == len(heads)
    # Another field in the table moves the indices: the same octets may mean something else now.
    http.send(http.headers(21, b"/", (b"x", b"new"), end=True))
    http.send(http.request(23, b"", b"/late"))
    assert echoes.late.calls[-1][0].head.path == b"/late"


def test_a_block_means_what_the_table_says() -> None:
    """The same octets, index 62, under a changed table: never the remembered head."""
    paths: list[bytes] = []
    endpoint = WholeEndpoint(lambda exchange, _: paths.append(exchange.head.path))
    http = Http2(RoutingService(endpoint))
    stream = 1
    for path in (b"/a", b"/b"):
        insert = b"\x83\x86\x44" + bytes((len(path),)) + path
        http.send(frames.frame(1, 5, stream, insert))
        for _ in range(4):
            stream += 2
            http.send(frames.frame(1, 5, stream, b"\x83\x86\xbe"))
        stream += 2
    assert paths == [b"/a"] * 5 + [b"/b"] * 5


def test_too_large_heads_are_answered() -> None:
    http = Http2(max_header_bytes=2048, max_headers=20)
    http.send(http.headers(1, b"/", (b"a", b"b" * 3000)))
    assert http.answer(1).status == 431
    http.sweep(1)
    assert http.answer(1).reset == ErrorCode.NO_ERROR
    http.send(http.headers(3, b"/", *[(b"a", b"b")] * 20, end=True))
    assert http.answer(3).status == 431
    assert http.answers[3].reset is None
    http.send(http.request(5, b"fine"))
    assert http.answer(5).body == b"fine"


def test_streams_above_the_limit_are_refused() -> None:
    http = Http2(http2_max_streams=2)
    for stream in (1, 3, 5):
        http.send(http.request(stream, b"", b"/late"))
    assert http.answer(5).reset == ErrorCode.REFUSED_STREAM
    http.send(data(5, b"x"), rst(1), http.request(7, b"now"))
    assert http.answer(7).body == b"now"


def test_a_ping_is_answered() -> None:
    http = Http2()
    http.send(frames.ping(0, b"12345678"), frames.ping(frames.ACK, b"unasked!"))
    assert [frame[1:] for frame in http.kinds(PING)] == [(frames.ACK, 0, b"12345678")]


def test_settings_are_acknowledged() -> None:
    http = Http2()
    http.send(frames.settings([(4, 1), (4, 100)]))
    assert [frame.flags for frame in http.kinds(frames.SETTINGS)] == [frames.ACK]
    http.send(http.request(1, bytes(101)))
    assert len(http.answer(1).body) == 100  # the last value of a parameter counts


class TestDrain:
    def late(self) -> tuple[Http2, WholeEndpoint]:
        echoes = EchoService()
        http = Http2(echoes)
        http.send(http.request(1, b"", b"/late"))
        return http, echoes.late

    def test_open_requests_finish(self) -> None:
        http, endpoint = self.late()
        http.connection.drain()
        http.connection.drain()
        warning, ping = http.frames()
        assert (warning.kind, warning.code) == (GOAWAY, ErrorCode.NO_ERROR)
        assert frames.WORD.unpack_from(warning.payload)[0] == MAX_STREAM_ID
        http.send(http.request(3, b"under way"))
        assert http.answer(3).body == b"under way"
        http.send(frames.ping(frames.ACK, ping.payload))
        (last,) = http.frames()
        assert frames.WORD.unpack_from(last.payload)[0] == 3
        http.send(http.request(5, b"too late"))
        assert http.answer(5).reset == ErrorCode.REFUSED_STREAM
        assert not http.transport.closed
        endpoint.calls[0][0].respond(200, TEXT, b"done")
        assert http.answer(1).body == b"done"
        assert http.transport.closed
        assert endpoint.gone == 0

    def test_idle_and_silent(self) -> None:
        http = Http2()
        http.connection.drain()
        assert not http.transport.closed
        http.sweep(2)
        assert http.transport.closed
        assert len(http.kinds(GOAWAY)) == 2

    def test_before_the_preface(self) -> None:
        http = Http2(greet=False)
        http.connection.drain()
        assert http.transport.closed

    def test_the_last_answer_goes_through_a_queue(self) -> None:
        http, endpoint = self.late()
        http.connection.drain()
        http.sweep(2)
        http.transport.taking = False
        endpoint.calls[0][0].respond(200, TEXT, bytes(60_000), OK)
        http.transport.take()
        assert len(http.answer(1).body) == 60_000
        assert http.answers[1].trailers == dict(OK)
        assert http.transport.closed

    def test_a_client_that_leaves(self) -> None:
        http, endpoint = self.late()
        http.send(frames.goaway(0, 0))
        assert not http.transport.closed
        endpoint.calls[0][0].respond(200, TEXT, b"done")
        assert http.answer(1).body == b"done"
        assert http.transport.closed


class TestEnds:
    def test_our_half_ends_first_and_the_other_is_given_time(self) -> None:
        http = Http2()
        http.transport.closes_on_eof = False
        http.send(frames.goaway(0, 0))
        assert http.transport.eof_written
        assert not http.transport.closed
        http.send(frames.ping(0, b"farewell"), http.request(1))  # nobody listens, nothing is answered
        assert not http.frames()
        http.sweep(LINGER_S)
        assert not http.transport.closed
        http.sweep(1)
        assert http.transport.closed

    def test_a_close_does_not_wait_for_the_client(self) -> None:
        http = Http2()
        http.transport.closes_on_eof = False
        http.send(frames.goaway(0, 0))
        http.connection.close()
        assert http.transport.closed

    def test_buffers_are_the_transports_until_it_has_sent_them(self) -> None:
        """Also behind the last answer of a connection: whoever is told writes over them."""
        http = Http2(echoes := EchoService())
        http.send(http.request(1, b"", b"/late"), frames.goaway(0, 0))
        http.transport.taking = False
        told: list[int] = []
        exchange = echoes.late.calls[0][0]
        exchange.respond(200, TEXT, bytes(60_000), OK, on_written=lambda: told.append(1))
        assert http.transport.eof_written
        http.sweep(1)
        assert not told
        http.transport.take()
        assert told

    def test_those_of_a_broken_stream_are_too(self) -> None:
        """Half an answer is with the transport when its client resets: its memory is not another's yet."""
        http = Http2(echoes := EchoService(), client_settings=[(4, 1 << 20)])
        http.send(frames.window_update(0, 1 << 20), http.request(1, b"", b"/late"))
        http.transport.taking = False
        told: list[int] = []
        exchange = echoes.late.calls[0][0]
        exchange.respond(200, TEXT, bytes(900_000), OK, on_written=lambda: told.append(1))
        http.send(rst(1, ErrorCode.CANCEL))
        http.sweep(1)
        assert not told
        http.transport.take()
        http.sweep(1)
        assert told

    def test_one_of_which_nothing_was_sent_is_free_at_once(self) -> None:
        http = Http2(echoes := EchoService(), client_settings=[(4, 0)])
        http.send(http.request(1, b"", b"/late"))
        told: list[int] = []
        echoes.late.calls[0][0].respond(200, TEXT, bytes(900_000), OK, on_written=lambda: told.append(1))
        http.send(rst(1, ErrorCode.CANCEL))
        assert told

    def test_a_lost_connection_holds_no_buffers(self) -> None:
        http = Http2(echoes := EchoService())
        http.send(http.request(1, b"", b"/late"))
        http.transport.taking = False
        told: list[int] = []
        echoes.late.calls[0][0].respond(200, TEXT, bytes(60_000), OK, on_written=lambda: told.append(1))
        assert not told
        http.transport.lose()
        assert told

    def test_half_close_waits_for_answers(self) -> None:
        echoes = EchoService()
        http = Http2(echoes)
        http.send(http.request(1, b"", b"/late"), http.headers(3, b"/stream"))
        assert http.connection.eof_received() is True
        assert echoes.stream.gone == 1  # its body can never be complete
        echoes.late.calls[0][0].respond(200, TEXT, b"done")
        assert http.answer(1).body == b"done"
        assert http.transport.closed

    def test_one_that_was_killed_is_told_from_one_that_still_reads(self) -> None:
        echoes, sock = EchoService(), FakeSocket()
        http = Http2(echoes, extra={"socket": sock})
        http.send(http.request(1, b"", b"/late"))
        http.connection.eof_received()
        assert [ping.flags for ping in http.kinds(PING)] == [0]
        http.sweep(1)
        assert echoes.late.gone == 0
        sock.state = 7  # TCP_CLOSE: our PING was answered by a reset
        http.sweep(0.5)
        assert echoes.late.gone == 1
        assert http.transport.aborted

    def test_half_close_of_an_idle_connection(self) -> None:
        http = Http2()
        assert http.connection.eof_received() is False

    @pytest.mark.parametrize("end", ["lost", "close", "abort"])
    def test_everyone_is_told_once(self, end: str) -> None:
        echoes = EchoService()
        http = Http2(echoes)
        http.send(http.request(1, b"", b"/late"), http.request(3, b"", b"/late"), http.headers(5, b"/stream"))
        if end == "lost":
            http.transport.lose(ConnectionResetError())
        elif end == "close":
            http.connection.close()
            assert http.failed_with() == ErrorCode.NO_ERROR
        else:
            http.connection.abort()
            assert http.transport.aborted
        http.connection.close()
        http.connection.drain()
        http.send(http.request(7))
        http.sweep(1)
        assert echoes.late.gone == 2
        assert echoes.stream.gone == 1
        assert http.connection.is_idle
        assert http.connection._phase is Phase.CLOSED
        for exchange, _, _ in echoes.late.calls:
            exchange.respond(200, TEXT, b"late")

    def test_close_within_a_request(self) -> None:
        endpoint = WholeEndpoint(lambda exchange, body: http.connection.close())
        http = Http2(RoutingService(endpoint))
        http.send(http.request(1) + http.request(3) + http.headers(5))
        assert len(endpoint.calls) == 1
        assert not http.connection.streams


@pytest.mark.parametrize("requests", [15_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_memory_stays_flat_over_very_many_requests(requests: int) -> None:
    """One connection, values that change with every request, some answers late, some streams reset."""
    pending: list[Exchange] = []

    def answer(exchange: Exchange, body: Buffer) -> None:
        if exchange.head.path == b"/late":
            pending.append(exchange)
        else:
            exchange.respond(200, TEXT, body, OK)

    endpoint = WholeEndpoint(answer)
    http = Http2(RoutingService(endpoint))
    http.send(frames.window_update(0, 1 << 30))

    # The second one grows the table by 98 bytes each time.
    plain = b"\x83\x86\x84\x00\x0btraceparent\x37"
    late = b"\x83\x86\x04\x05/late\x40\x0btraceparent\x37"

    def run(streams: range) -> None:
        for stream in streams:
            is_late = stream % 16 == 1
            block = (late if is_late else plain) + b"00-%032x-%016x-01" % (stream, stream)
            http.send(frames.frame(1, 4, stream, block) + frames.frame(0, 1, stream, b"x"))
            if is_late and stream % 32 == 1:
                http.clock.now += 0.1
                http.send(rst(stream))
            if is_late:
                pending.pop().respond(200, TEXT, b"late", OK)
            endpoint.calls.clear()
            http.transport.sent.clear()

    run(range(1, 5_001, 2))
    gc.collect()
    tracemalloc.start()
    try:
        run(range(5_001, 10_001, 2))
        before = tracemalloc.get_traced_memory()[0]
        run(range(10_001, 2 * requests + 1, 2))
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert http.connection.is_idle
    assert not http.transport.closed
    assert after - before < 50_000
