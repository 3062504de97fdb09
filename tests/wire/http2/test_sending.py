"""Windows, queues, fairness and back-pressure of what we send."""

from __future__ import annotations

import pytest

from gateway.wire.exchange import Exchange
from gateway.wire.http2 import frames
from gateway.wire.http2.frames import DATA, END_STREAM, HEADERS, ErrorCode
from gateway.wire.http2.outgoing import Outgoing
from gateway.wire.http2.sending import Sender
from tests.fakes.http2 import Http2, rst
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.services import TEXT, EchoService, WholeEndpoint
from tests.fakes.transport import FakeTransport

OK = ((b"grpc-status", b"0"),)
MIB = 1 << 20


def late(*stream_ids: int, **options: object) -> tuple[Http2, list[Exchange], WholeEndpoint]:
    """A connection with a request on each of `stream_ids`, none answered yet."""
    echoes = EchoService()
    http = Http2(echoes, **options)  # type: ignore[arg-type]
    for stream_id in stream_ids:
        http.send(http.request(stream_id, b"", b"/late"))
    return http, [exchange for exchange, _, _ in echoes.late.calls], echoes.late


def check(http: Http2) -> None:
    http.connection._sender.check()


@pytest.mark.parametrize("trailers", [(), OK])
@pytest.mark.parametrize("size", [1, 10, 11, 25])
def test_a_stream_window_is_kept(size: int, trailers: tuple[tuple[bytes, bytes], ...]) -> None:
    http, (exchange,), _ = late(1, client_settings=[(4, 10)])
    exchange.respond(200, TEXT, bytes(range(size)), trailers)
    while not http.answer(1).ended:
        assert len(http.answers[1].body) % 10 == 0
        assert http.connection.streams
        http.send(frames.window_update(1, 10))
        check(http)
    assert http.answers[1].body == bytes(range(size))
    assert http.connection.is_idle


def test_the_connection_window_is_kept_and_shared() -> None:
    http, (first, second), _ = late(1, 3, client_settings=[(4, MIB)])
    first.respond(200, TEXT, bytes(100_000))
    second.respond(200, TEXT, bytes(100_000))
    sent = len(http.answer(1).body) + len(http.answer(3).body)
    assert sent == 65_535
    http.send(frames.window_update(0, 60_000))
    assert len(http.answer(1).body) + len(http.answer(3).body) == 125_535
    http.send(frames.window_update(0, MIB))
    assert http.answer(1).ended
    assert http.answer(3).ended


def test_streams_take_turns() -> None:
    http, exchanges, _ = late(1, 3, 5, client_settings=[(4, MIB)])
    for exchange in exchanges:
        exchange.respond(200, TEXT, bytes(60_000))
    http.frames()
    http.send(frames.window_update(0, MIB))
    order = [frame.stream_id for frame in http.kinds(DATA)]
    assert order[:6] in ([1, 3, 5, 1, 3, 5], [3, 5, 1, 3, 5, 1], [5, 1, 3, 5, 1, 3], [3, 5, 3, 5, 3, 5])


def test_frames_are_no_larger_than_asked() -> None:
    http, (exchange,), _ = late(1, client_settings=[(4, MIB), (5, 20_000)])
    http.send(frames.window_update(0, MIB))
    exchange.respond(200, TEXT, (bytes(30_000), bytes(5), bytes(30_000)))
    sizes = [len(frame.payload) for frame in http.kinds(DATA)]
    assert sizes == [20_000, 20_000, 20_000, 5]
    assert http.all[-1].flags == END_STREAM


def test_a_window_may_turn_negative_and_come_back() -> None:
    http, (exchange,), _ = late(1, client_settings=[(4, 100)])
    exchange.respond(200, TEXT, bytes(250))
    assert len(http.answer(1).body) == 100
    http.send(frames.settings([(4, 50)]), frames.window_update(1, 50))
    assert len(http.answer(1).body) == 100
    http.send(frames.window_update(1, 1))
    assert len(http.answer(1).body) == 101
    http.send(frames.settings([(4, 199)]))
    assert http.answer(1).ended
    check(http)


def test_a_setting_that_overflows_a_window() -> None:
    http, (_,), _ = late(1)
    http.send(frames.window_update(1, 10), frames.settings([(4, (1 << 31) - 1)]))
    assert http.failed_with() == ErrorCode.FLOW_CONTROL_ERROR


def test_a_long_head_is_continued() -> None:
    http, (exchange,), _ = late(1)
    exchange.respond(200, ((b"x", b"y" * 40_000),), b"body")
    assert http.answer(1).headers[0][1] == (b"x", b"y" * 40_000)
    assert [frame.kind for frame in http.all[-4:]] == [HEADERS, 9, 9, DATA]


def test_a_client_without_a_table_is_told_so() -> None:
    http, (exchange,), _ = late(1, client_settings=[(1, 0)])
    http._decoder.max_allowed_table_size = 0
    exchange.respond(200, TEXT, b"x", OK)
    assert http.answer(1).status == 200
    assert http.answers[1].trailers == dict(OK)


class TestOneTurn:
    """What a streamed answer writes in one turn of the loop."""

    def test_it_is_one_frame_and_one_write(self) -> None:
        http, (exchange,), _ = late(1)
        exchange.start(200, TEXT)
        http.frames()
        writes = http.transport.write_calls
        for piece in (b"one ", b"two ", bytearray(b"three")):
            exchange.write(piece)
        assert http.transport.write_calls == writes
        check(http)
        assert [frame.payload for frame in http.kinds(DATA)] == [b"one two three"]
        assert http.transport.write_calls == writes + 1
        exchange.write(b"four")
        assert [frame.payload for frame in http.kinds(DATA)] == [b"four"]

    def test_it_keeps_windows_and_frame_sizes(self) -> None:
        http, (exchange,), _ = late(1, client_settings=[(4, 10)])
        exchange.start(200, TEXT)
        for digit in range(8):
            exchange.write(b"%d%d%d" % (digit, digit, digit))
        assert http.answer(1).body == b"0001112223"
        http.send(frames.window_update(1, 100))
        assert http.answer(1).body == b"".join(b"%d" % digit * 3 for digit in range(8))
        check(http)

    def test_much_does_not_wait_for_its_end(self) -> None:
        http, (exchange,), _ = late(1)
        exchange.start(200, TEXT)
        writes = http.transport.write_calls
        exchange.write(bytes(10_000))
        exchange.write(bytes(10_000))
        assert http.transport.write_calls == writes + 1
        assert [len(frame.payload) for frame in http.kinds(DATA)] == [16_384, 3_616]

    def test_the_end_does_not_wait_either(self) -> None:
        http, (exchange,), _ = late(1)
        exchange.start(200, TEXT)
        exchange.write(b"last words")
        exchange.finish(OK)
        assert http.transport.taken()
        http.loop.turn()
        assert not http.transport.taken()

    def test_what_was_written_comes_before_a_reset(self) -> None:
        http, (exchange,), _ = late(1)
        exchange.start(200, TEXT)
        exchange.write(b"half a sen")
        exchange.abort()
        assert (http.answer(1).body, http.answers[1].reset) == (b"half a sen", ErrorCode.INTERNAL_ERROR)

    def test_a_connection_that_closes_meanwhile(self) -> None:
        http, (exchange,), _ = late(1)
        exchange.start(200, TEXT)
        exchange.write(b"never sent")
        http.connection.abort()
        http.loop.turn()
        assert b"never" not in http.transport.taken()

    def test_a_client_may_widen_its_windows_for_each_message(self) -> None:
        http, (exchange,), _ = late(1, http2_control_burst=10, http2_control_rate=1)
        exchange.start(200, TEXT)
        for _ in range(1000):
            for _ in range(16):
                exchange.write(b"x" * 50)
            http.frames()
            http.send(*[frames.window_update(stream, 50) for stream in (0, 1)] * 16)
        assert http.failed_with() is None


class TestBackPressure:
    def test_nothing_leaves_while_paused(self) -> None:
        http, (first, second), _ = late(1, 3, client_settings=[(4, 8 * MIB)])
        http.send(frames.window_update(0, 8 * MIB))
        http.transport.taking = False
        first.respond(200, TEXT, bytes(4 * MIB))
        second.respond(200, TEXT, b"small", OK)
        assert http.transport.get_write_buffer_size() < MIB
        check(http)
        http.transport.take()
        while not (http.answer(1).ended and http.answer(3).ended):
            http.transport.take()
        assert len(http.answers[1].body) == 4 * MIB
        assert http.answers[3].body == b"small"

    def test_a_small_answer_overtakes_a_large_one(self) -> None:
        http, (first, second), _ = late(1, 3, client_settings=[(4, 8 * MIB)])
        http.send(frames.window_update(0, 8 * MIB))
        http.transport.taking = False
        first.respond(200, TEXT, bytes(4 * MIB))
        second.respond(200, TEXT, b"small", OK)
        http.transport.take()
        http.transport.take()
        assert http.answer(3).ended
        assert not http.answers[1].ended

    def test_writers_are_told_to_wait_and_to_go_on(self) -> None:
        http, (exchange,), _ = late(1, write_buffer_bytes=100_000)
        calls: list[int] = []
        exchange.on_writable = lambda: calls.append(len(http.answer(1).body))
        exchange.start(200, TEXT)
        exchange.write(bytes(65_535))
        assert exchange.is_writable
        exchange.write(bytes(100_000))
        assert exchange.is_writable
        exchange.write(b"x")
        assert not exchange.is_writable
        assert not calls
        http.send(frames.window_update(1, 40_000) + frames.window_update(0, 40_000))
        assert not calls
        http.send(frames.window_update(1, 40_000) + frames.window_update(0, 40_000))
        assert len(calls) == 1
        assert exchange.is_writable
        exchange.on_writable = lambda: exchange.write(bytes(10))
        exchange.write(bytes(100_000))
        http.send(frames.window_update(1, MIB) + frames.window_update(0, MIB))
        exchange.finish()
        assert len(http.answer(1).body) == 65_535 + 100_001 + 100_000 + 10
        assert http.answers[1].ended

    def test_a_writer_whose_part_has_shrunk_is_told_to_go_on_too(self) -> None:
        """It wrote while it was alone; that it must wait it hears after others have come."""
        http, (exchange,), _ = late(1, write_buffer_bytes=200_000, client_settings=[(4, 0)])
        calls: list[int] = []
        exchange.on_writable = lambda: calls.append(1)
        exchange.start(200, TEXT)
        exchange.write(bytes(100_000))
        assert exchange.is_writable
        http.send(*(http.request(stream, b"", b"/late") for stream in (3, 5, 7)))
        assert not exchange.is_writable
        http.send(frames.window_update(1, MIB) + frames.window_update(0, MIB))
        assert calls

    def test_a_stuck_stream_does_not_stop_another(self) -> None:
        http, (stuck, other), _ = late(1, 3, write_buffer_bytes=1 << 16, client_settings=[(4, 0)])
        for exchange in (stuck, other):
            exchange.start(200, TEXT)
        stuck.write(bytes(MIB))
        assert not stuck.is_writable
        assert other.is_writable
        http.send(frames.window_update(3, 100))
        other.write(b"goes through")
        assert http.answer(3).body == b"goes through"

    def test_control_frames_that_are_never_read_end_the_connection(self) -> None:
        http, (exchange,), _ = late(1, http2_control_burst=1_000_000, client_settings=[(4, 8 * MIB)])
        http.send(frames.window_update(0, 8 * MIB))
        http.transport.taking = False
        exchange.respond(200, TEXT, bytes(MIB))
        for _ in range(10_000):
            http.send(frames.ping(0, bytes(8)))
        assert http.transport.aborted
        assert http.connection.is_idle


class TestOnWritten:
    def test_at_once_where_the_body_was_copied(self) -> None:
        http, (exchange,), _ = late(1)
        told: list[int] = []
        http.transport.taking = False
        exchange.respond(200, TEXT, b"warm", OK, None)
        http.send(http.request(3, b"", b"/late"))
        other = http.service.late.calls[-1][0]  # type: ignore[attr-defined]
        other.respond(200, TEXT, b"small", OK, lambda: told.append(1))
        assert told == [1]

    def test_once_the_transport_is_empty(self) -> None:
        http, (exchange,), _ = late(1, client_settings=[(4, MIB)])
        http.send(frames.window_update(0, MIB))
        told: list[int] = []
        http.transport.taking = False
        exchange.respond(200, TEXT, bytes(100_000), OK, lambda: told.append(1))
        http.loop.turn()
        assert http.connection.is_idle
        assert not told
        http.transport.taking = True
        http.transport.take()
        http.send(frames.ping(0, bytes(8)))
        assert told == [1]

    def test_soon_where_the_loop_writes_later(self) -> None:
        http, (exchange,), _ = late(1)
        told: list[int] = []
        http.transport.taking = False
        exchange.respond(200, TEXT, bytes(50_000), (), lambda: told.append(1))
        http.transport.take()
        assert not told
        http.loop.turn()
        assert told == [1]

    def test_after_a_pause(self) -> None:
        http, (exchange,), _ = late(1, client_settings=[(4, MIB)])
        http.send(frames.window_update(0, MIB))
        told: list[int] = []
        http.transport.taking = False
        exchange.respond(200, TEXT, bytes(MIB - 1), (), lambda: told.append(1))
        while not http.connection.is_idle:
            assert not told
            http.transport.take()
        http.transport.take()
        assert told == [1]

    @pytest.mark.parametrize("end", ["reset", "lost", "close", "abort"])
    def test_when_it_never_will_be(self, end: str) -> None:
        http, (exchange,), endpoint = late(1, client_settings=[(4, 10)])
        told: list[int] = []
        exchange.respond(200, TEXT, bytes(100), (), lambda: told.append(1))
        if end == "reset":
            http.send(rst(1))
        elif end == "lost":
            http.transport.lose()
        elif end == "close":
            http.connection.close()
        else:
            exchange.abort()
        assert told == [1]
        assert http.connection.is_idle
        assert endpoint.gone == 0  # its answer was complete


def test_a_queue_takes_any_buffer_without_copying() -> None:
    out = Outgoing(None, 0.0)
    floats = memoryview(bytearray(16)).cast("f")
    for buffer in (b"ab", bytearray(b"cd"), floats, b""):
        out.append(buffer)
    assert out.size == 20
    parts: list[bytes | bytearray | memoryview] = []
    out.take(3, parts)
    out.take(17, parts)
    assert b"".join(parts) == b"abcd" + bytes(16)
    assert out.size == 0
    assert out.sent == 20
    assert all(isinstance(part, memoryview) for part in parts)


def test_a_sender_forgets_old_resets() -> None:
    clock = FakeClock()
    sender = Sender(FakeTransport(), FakeLoop(clock).call_soon, 1 << 20, clock.now)
    for stream_id in range(1, 4001, 2):
        sender.reset(stream_id, ErrorCode.CANCEL)
    assert sender.was_reset(3999)
    assert not sender.was_reset(1)
