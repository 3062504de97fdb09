from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Decoder

from tests.bench.lanes import Broken, GrpcCalls, GrpcLane, Lane, RestLane, content_length, frame, literal


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Events:
    """What a lane has told."""

    def __init__(self) -> None:
        self.ready = self.lost = 0
        self.ended: list[bool] = []

    def on_ready(self, lane: Lane) -> None:
        self.ready += 1

    def on_ended(self, lane: Lane, is_good: bool) -> None:
        self.ended.append(is_good)

    def on_lost(self, lane: Lane) -> None:
        self.lost += 1


def _rest() -> tuple[RestLane, Wire, Events]:
    events, wire = Events(), Wire()
    lane = RestLane(b"POST", events.on_ready, events.on_ended, events.on_lost)
    lane.connection_made(wire)
    return lane, wire, events


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_may_come_in_pieces(cut: int) -> None:
    lane, wire, events = _rest()
    lane.send()
    assert wire.take() == b"POST"
    lane.data_received(ANSWER[:cut])
    assert events.ended == []
    lane.data_received(ANSWER[cut:])
    assert events.ended == [True]


def test_another_status_is_no_good_answer() -> None:
    lane, _, events = _rest()
    lane.send()
    lane.data_received(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
    assert events.ended == [False]


def test_a_request_lost_with_its_connection_has_failed() -> None:
    lane, _, events = _rest()
    lane.send()
    lane.connection_lost(None)
    assert (events.ended, events.lost) == ([False], 1)


def test_an_idle_connection_that_goes_is_no_failure() -> None:
    lane, _, events = _rest()
    lane.connection_lost(None)
    assert (events.ended, events.lost) == ([], 1)


def test_an_answer_of_unknown_length_stops_the_measurement() -> None:
    with pytest.raises(Broken, match="content-length"):
        content_length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked")


class Peer:
    """hyper-h2 as the server of a GrpcLane: it refuses whatever breaks HTTP/2."""

    def __init__(self, message: bytes = b"m" * 170, *, unique: bool = False) -> None:
        self.events, self.wire = Events(), Wire()
        calls = GrpcCalls("/s/M", "host:1", message, metadata={}, unique=unique)
        self.lane = GrpcLane(calls, self.events.on_ready, self.events.on_ended, self.events.on_lost)
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.requests: list[dict[str, str]] = []
        self.bodies: dict[int, bytes] = {}
        self.finished: list[int] = []
        self.lane.connection_made(self.wire)
        self.exchange()

    def exchange(self) -> None:
        """Carries bytes both ways until neither side has any."""
        while (down := self.h2.data_to_send()) or self.wire.sent:
            if down:
                self.lane.data_received(down)
            for event in self.h2.receive_data(self.wire.take()):
                self._note(event)

    def _note(self, event: object) -> None:
        match event:
            case h2.events.RequestReceived():
                self.requests.append({str(name): str(value) for name, value in event.headers})
            case h2.events.DataReceived():
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.finished.append(event.stream_id)

    def answer(self, stream: int, status: str = "0", data: bytes = b"\0\0\0\0\1x") -> None:
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        if data:
            self.h2.send_data(stream, data)
        self.h2.send_headers(stream, [("grpc-status", status)], end_stream=True)
        self.exchange()

    def send(self) -> int:
        self.lane.send()
        self.exchange()
        return self.finished[-1]


def test_a_lane_is_ready_with_the_server_s_settings() -> None:
    assert Peer().events.ready == 1


def test_calls_follow_one_another_on_new_streams() -> None:
    peer = Peer()
    for stream in (1, 3, 5, 7):
        assert peer.send() == stream
        assert peer.bodies[stream] == b"m" * 170
        peer.answer(stream)
    assert peer.events.ended == [True] * 4
    assert {request[":path"] for request in peer.requests} == {"/s/M"}
    assert {request["te"] for request in peer.requests} == {"trailers"}


@pytest.mark.parametrize(("status", "data"), [("13", b""), ("8", b"\0\0\0\0\1x"), ("0", b"")])
def test_a_good_answer_has_status_0_and_data(status: str, data: bytes) -> None:
    peer = Peer()
    peer.answer(peer.send(), status, data)
    assert peer.events.ended == [False]


def test_a_status_seen_before_is_still_read_right() -> None:
    peer = Peer()
    statuses = ["0", "0", "13", "0", "13", "13", "0"]
    for status in statuses:
        peer.answer(peer.send(), status)
    assert peer.events.ended == [status == "0" for status in statuses]


def test_a_reset_stream_has_failed_and_the_next_call_works() -> None:
    peer = Peer()
    peer.h2.reset_stream(peer.send(), 2)
    peer.exchange()
    peer.answer(peer.send())
    assert peer.events.ended == [False, True]


def test_a_message_larger_than_the_windows_is_sent_as_they_open() -> None:
    message = bytes(range(256)) * 2000
    peer = Peer(message)
    stream = peer.send()
    assert peer.bodies[stream] == message
    peer.answer(stream)
    assert peer.events.ended == [True]


def test_a_ping_is_answered() -> None:
    peer = Peer()
    peer.h2.ping(b"12345678")
    down = peer.h2.data_to_send()
    peer.lane.data_received(down)
    (event,) = peer.h2.receive_data(peer.wire.take())
    assert isinstance(event, h2.events.PingAckReceived)


def test_a_server_that_goes_away_gets_no_further_call() -> None:
    peer = Peer()
    stream = peer.send()
    peer.lane.data_received(frame(7, 0, 0, bytes(8)))
    assert not peer.lane.is_closing()
    peer.answer(stream)
    assert peer.lane.is_closing()
    assert peer.events.ended == [True]


def test_metadata_changes_with_every_call_and_only_that() -> None:
    peer = Peer(unique=True)
    for _ in range(3):
        peer.answer(peer.send())
    for name in ("traceparent", "authorization", "grpc-timeout"):
        assert len({request[name] for request in peer.requests}) == 3
    version, trace, span, flags = peer.requests[0]["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert peer.requests[0]["authorization"].startswith("Bearer ")
    assert peer.requests[0]["grpc-timeout"].endswith("u")
    assert int(peer.requests[0]["grpc-timeout"][:-1]) >= 10_000_000


def test_a_long_literal_has_a_long_length() -> None:
    ((name, value),) = Decoder().decode(literal("x-long", "v" * 500, kind=0), raw=True)
    assert (name, value) == (b"x-long", b"v" * 500)
