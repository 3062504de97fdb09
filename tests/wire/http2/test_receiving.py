"""Bodies: collected, sized, shared, streamed; and the windows we give for them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.tensor import Buffer
from gateway.wire.exchange import Head
from gateway.wire.http2 import frames
from gateway.wire.http2.frames import WINDOW_UPDATE, ConnectionFault, ErrorCode
from gateway.wire.http2.intake import Intake
from gateway.wire.http2.receiving import Inflow
from gateway.wire.http2.sending import Sender
from tests.fakes.http2 import Http2, data, rst
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.services import (
    TEXT,
    EchoService,
    FakeBodyMemory,
    RoutingService,
    StreamEndpoint,
    WholeEndpoint,
)
from tests.fakes.transport import FakeTransport

KIB = 1 << 10


def grpc_size(head: Head, first: Buffer) -> int | None:
    """As a gRPC endpoint tells it: five bytes, the last four of them the length."""
    return 5 + int.from_bytes(bytes(first[1:5]), "big") if len(first) >= 5 else None


def message(size: int) -> bytes:
    return b"\0" + size.to_bytes(4, "big") + bytes(index % 251 for index in range(size))


def pieces(stream_id: int, body: bytes, size: int) -> list[bytes]:
    cuts = range(0, len(body), size)
    return [data(stream_id, body[at : at + size], end=at + size >= len(body)) for at in cuts]


class TestShared:
    def make(self) -> tuple[Http2, WholeEndpoint, FakeBodyMemory]:
        endpoint, memory = WholeEndpoint(), FakeBodyMemory()
        endpoint.size_of = grpc_size
        endpoint.offset = 5
        return Http2(RoutingService(endpoint), memory=memory, shared_body_bytes=4096), endpoint, memory

    @pytest.mark.parametrize("first", [1, 4, 5, 100, 5000])
    @pytest.mark.parametrize("announced", [True, False])
    def test_a_large_body_goes_to_shared_memory(self, first: int, announced: bool) -> None:
        http, endpoint, memory = self.make()
        body = message(50_000)
        length = [(b"content-length", b"%d" % len(body))] if announced else []
        http.send(http.headers(1, b"/", *length), data(1, body[:first]), *pieces(1, body[first:], 16_000))
        ((exchange, got, lease),) = endpoint.calls
        assert bytes(got) == body
        assert memory.asked == [(len(body), 5)]
        assert lease is memory.leases[0]
        assert memory.leases[0].holds == 1  # now the endpoint's
        exchange.respond(200, TEXT, got, (), lease.release)
        http.frames()
        assert memory.leases[0].holds == 0

    def test_in_one_frame_cut_by_the_network(self) -> None:
        http, endpoint, memory = self.make()
        said = http.headers(1) + data(1, message(200_000), end=True)
        for at in range(0, len(said), 7000):
            http.send(said[at : at + 7000])
        assert bytes(endpoint.calls[0][1]) == message(200_000)
        assert len(memory.leases) == 1

    def test_small_and_unknown_bodies_stay_here(self) -> None:
        http, endpoint, memory = self.make()
        http.send(http.headers(1), *pieces(1, message(4000), 1000))
        endpoint.size_of = None
        http.send(http.headers(3), *pieces(3, message(40_000), 10_000))
        assert [bytes(body) for _, body, _ in endpoint.calls] == [message(4000), message(40_000)]
        assert not memory.asked

    def test_without_room(self) -> None:
        http, endpoint, memory = self.make()
        memory.room = False
        http.send(http.headers(1), *pieces(1, message(40_000), 10_000))
        assert bytes(endpoint.calls[0][1]) == message(40_000)
        assert endpoint.calls[0][2] is None

    def test_longer_than_its_prefix_says(self) -> None:
        http, endpoint, memory = self.make()
        body = message(40_000) + b"and more" * 100
        http.send(http.headers(1), *pieces(1, body, 16_000))
        assert bytes(endpoint.calls[0][1]) == body
        assert endpoint.calls[0][2] is None
        assert memory.leases[0].holds == 0

    def test_shorter_than_its_prefix_says(self) -> None:
        http, endpoint, memory = self.make()
        http.send(http.headers(1), *pieces(1, message(40_000)[:30_000], 10_000))
        assert bytes(endpoint.calls[0][1]) == message(40_000)[:30_000]
        assert memory.leases[0].holds == 1

    @pytest.mark.parametrize("end", ["reset", "lost", "close", "error", "timeout"])
    def test_a_stream_that_dies_gives_it_back(self, end: str) -> None:
        http, endpoint, memory = self.make()
        http.send(http.headers(1), data(1, message(40_000)[:16_000]))
        assert memory.leases[0].holds == 1
        if end == "reset":
            http.send(rst(1))
        elif end == "lost":
            http.transport.lose()
        elif end == "close":
            http.connection.close()
        elif end == "error":
            http.send(frames.frame(frames.HEADERS, 4, 1, b"\x00\x01a\x01b"))
        else:
            http.sweep(20)
        assert memory.leases[0].holds == 0
        assert not endpoint.calls


class TestLimits:
    def make(self, *, whole: bool = True) -> tuple[Http2, WholeEndpoint]:
        endpoint = WholeEndpoint() if whole else StreamEndpoint()
        endpoint.max_body_bytes = 1000
        endpoint.size_of = grpc_size
        return Http2(RoutingService(endpoint)), endpoint

    @pytest.mark.parametrize("whole", [True, False])
    def test_announced(self, whole: bool) -> None:
        http, endpoint = self.make(whole=whole)
        http.send(http.headers(1, b"/", (b"content-length", b"1001")))
        assert http.answer(1).status == 413
        http.sweep(1)
        assert http.answer(1).reset == ErrorCode.NO_ERROR
        assert not endpoint.calls

    def test_told_by_the_first_bytes(self) -> None:
        http, _ = self.make()
        http.send(http.headers(1), data(1, message(5000)[:5]))
        assert http.answer(1).status == 413

    @pytest.mark.parametrize("whole", [True, False])
    def test_found(self, whole: bool) -> None:
        http, endpoint = self.make(whole=whole)
        endpoint.size_of = None
        http.send(http.headers(1), data(1, bytes(600)), data(1, bytes(600)), data(1, bytes(600), end=True))
        assert http.answer(1).status == 413
        assert endpoint.gone == (0 if whole else 1)
        http.send(http.request(3, b"fits") if whole else http.headers(3))
        assert len(endpoint.calls) == (1 if whole else 0)

    def test_the_very_limit(self) -> None:
        http, endpoint = self.make()
        endpoint.size_of = None
        http.send(http.headers(1), data(1, bytes(1000), end=True))
        assert len(endpoint.calls[0][1]) == 1000

    def test_too_many_small_frames(self) -> None:
        http = Http2(max_chunks=100)
        http.send(http.headers(1), *[data(1, b"x")] * 101)
        assert http.answer(1).reset == ErrorCode.ENHANCE_YOUR_CALM
        http.send(http.headers(3), *[data(3, b"x")] * 100, data(3, b"", end=True))
        assert http.answer(3).body == b"x" * 100

    def test_a_streamed_body_may_have_any_number_of_frames(self) -> None:
        http = Http2(max_chunks=100)
        http.send(http.headers(1, b"/stream"), *[data(1, b"x")] * 500, data(1, b"", end=True))
        assert http.answer(1).body == b"x" * 500


class TestWindows:
    def updates(self, http: Http2) -> list[tuple[int, int]]:
        return [
            (frame.stream_id, frames.WORD.unpack(frame.payload)[0]) for frame in http.kinds(WINDOW_UPDATE)
        ]

    def make(self) -> Http2:
        return Http2(
            http2_stream_window=65_535 + 1, http2_connection_window=65_536 * 2, http2_max_frame_size=65_536
        )

    def test_given_back_in_coarse_steps(self) -> None:
        http = self.make()
        http.send(http.headers(1))
        given = []
        for _ in range(64):
            http.send(data(1, bytes(4096)))
            given += self.updates(http)
        # Half a window at a time: after 8 frames the stream's, after 16 the connection's as well.
        assert given == [(1, 32 * KIB), (0, 64 * KIB), (1, 32 * KIB)] * 4

    def test_small_requests_give_back_the_connections(self) -> None:
        http = self.make()
        given = 0
        for number in range(200):
            http.send(http.request(2 * number + 1, bytes(1000)))
            http.send(frames.window_update(0, 1000))
            given += sum(size for stream, size in self.updates(http) if stream == 0)
        assert 200_000 - 65_536 <= given <= 200_000

    def test_an_overrun_of_the_streams_window(self) -> None:
        http = self.make()
        stream = http.service.stream  # type: ignore[attr-defined]
        http.send(http.headers(1, b"/stream"))
        stream.receivers[0].exchange.pause_reading()
        http.send(data(1, bytes(65_536)), data(1, b"x"))
        assert http.answer(1).reset == ErrorCode.FLOW_CONTROL_ERROR
        assert http.failed_with() is None

    def test_an_overrun_of_the_connections_window(self) -> None:
        http = self.make()
        stream = http.service.stream  # type: ignore[attr-defined]
        for number in (1, 3, 5):
            http.send(http.headers(number, b"/stream"))
            stream.receivers[-1].exchange.pause_reading()
        http.send(data(1, bytes(65_536)), data(3, bytes(65_536)))
        http.send(http.request(7), data(5, b"x"))
        assert http.failed_with() == ErrorCode.FLOW_CONTROL_ERROR

    def test_a_hot_request_may_not_overrun_it_either(self) -> None:
        http = self.make()
        stream = http.service.stream  # type: ignore[attr-defined]
        for number in (1, 3):
            http.send(http.headers(number, b"/stream"))
            stream.receivers[-1].exchange.pause_reading()
        http.send(data(1, bytes(65_536)), data(3, bytes(65_536 - 10)))
        http.send(http.request(5, bytes(10)))
        assert http.failed_with() is None
        http.send(http.request(7, bytes(1)))
        assert http.failed_with() == ErrorCode.FLOW_CONTROL_ERROR

    def test_padding_is_given_back(self) -> None:
        http, given = self.make(), []
        for number in range(600):
            http.send(http.headers(2 * number + 1), data(2 * number + 1, b"", end=True, padding=255))
            given += self.updates(http)
        assert given == [(0, 65_536)] * 2

    def test_what_nobody_wants_is_given_back(self) -> None:
        http = self.make()
        for number in range(1, 200, 2):
            http.send(http.headers(number, b"/late"))
            http.connection.streams[number].abort()
            http.send(data(number, bytes(4096)))
        assert http.failed_with() is None


class TestStreaming:
    def make(self) -> tuple[Http2, StreamEndpoint]:
        echoes = EchoService()
        return Http2(echoes), echoes.stream

    def test_pieces_come_as_they_come(self) -> None:
        http, endpoint = self.make()
        http.send(http.headers(1, b"/stream"))
        receiver = endpoint.receivers[0]
        http.send(data(1, b"one"))
        assert receiver.pieces == [b"one"]
        frame = data(1, b"two", end=True)
        http.send(frame[:10], frame[10:])
        assert receiver.body == b"onetwo"
        assert receiver.ended
        assert http.answer(1).body == b"onetwo"

    def test_no_body_at_all(self) -> None:
        http, endpoint = self.make()
        http.send(http.headers(1, b"/stream", end=True))
        assert endpoint.receivers[0].ended
        assert http.answer(1).status == 200

    def test_a_pause_holds_data_and_window(self) -> None:
        http, endpoint = self.make()
        http.send(http.headers(1, b"/stream"))
        receiver = endpoint.receivers[0]
        receiver.exchange.pause_reading()
        for _ in range(16):
            http.send(data(1, bytes(64 * KIB)))
        assert not receiver.pieces
        assert not http.kinds(WINDOW_UPDATE)
        receiver.exchange.resume_reading()
        assert len(receiver.body) == 1 << 20
        assert [frame.stream_id for frame in http.kinds(WINDOW_UPDATE)] == [1]
        receiver.exchange.pause_reading()
        http.send(data(1, b"end", end=True))
        assert not receiver.ended
        receiver.exchange.resume_reading()
        assert receiver.ended

    def test_a_pause_within_a_piece(self) -> None:
        http, endpoint = self.make()
        http.send(http.headers(1, b"/stream"))
        receiver = endpoint.receivers[0]
        receiver.on_piece = lambda exchange, piece: exchange.pause_reading()
        http.send(data(1, b"a") + data(1, b"b") + data(1, b"c", end=True))
        assert receiver.pieces == [b"a"]
        receiver.exchange.resume_reading()
        assert receiver.pieces == [b"a", b"bc"]
        assert not receiver.ended
        receiver.exchange.resume_reading()
        assert receiver.ended

    def test_a_reader_that_has_gone(self) -> None:
        http, endpoint = self.make()
        http.send(http.headers(1, b"/stream"))
        receiver = endpoint.receivers[0]
        receiver.exchange.pause_reading()
        http.send(data(1, bytes(1000)), rst(1))
        assert endpoint.gone == 1
        receiver.exchange.resume_reading()
        assert not receiver.pieces


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 70_000)), max_size=30))
def test_a_receive_window_never_gives_more_than_it_got(steps: list[tuple[bool, int]]) -> None:
    """Invariant of Inflow: received and not given back never passes the limit, and nothing is lost."""
    transport, clock = FakeTransport(), FakeClock()
    inflow = Inflow(Sender(transport, FakeLoop(clock).call_soon, 1 << 20, clock.now), 65_535)
    received = held = 0
    for is_arrival, size in steps:
        if is_arrival:
            try:
                inflow.receive(size)
            except ConnectionFault:
                assert inflow.taken + inflow.withheld > 65_535
                return
            received, held = received + size, held + size
        else:
            taken = min(size, held)
            held -= taken
            inflow.consume(taken)
        given = sum(
            int.from_bytes(transport.sent[at + 9 : at + 13], "big")
            for at in range(0, len(transport.sent), 13)
        )
        assert received - given == inflow.taken + inflow.withheld <= 65_535
        assert inflow.stop == min(inflow.step, 65_535 - inflow.withheld + 1)


def test_an_intake_starts_idle() -> None:
    http = Http2()
    intake = http.connection._reception._intake
    assert isinstance(intake, Intake)
    http.send(http.headers(1), data(1, bytes(100))[:50])
    assert intake.is_active
    http.send(data(1, bytes(100))[50:])
    assert not intake.is_active
