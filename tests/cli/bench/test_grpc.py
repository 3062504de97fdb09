"""The client's HTTP/2 against hyper-h2 as the server."""

from __future__ import annotations

import itertools

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench.dialogue import UNPROCESSED, Answer, Broken
from gateway.cli.bench.grpc import GrpcDialogue, GrpcRequest
from gateway.cli.bench.hpack import encode_literal, make_blocks
from gateway.cli.bench.unique import Unique

FIELDS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/inference.GRPCInferenceService/ModelInfer"),
    (b":authority", b"h:1"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]
BLOCKS = make_blocks(FIELDS)
MESSAGE = b"\x00\x00\x00\x00\x03abc"
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Server:
    """hyper-h2 on the other side of a dialogue; collects whole requests."""

    def __init__(self, **changes: int) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        values = {h2.settings.SettingCodes[key]: value for key, value in changes.items()}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.h2.initiate_connection()
        self.headers: dict[int, list[tuple[str, str]]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.resets: list[int] = []

    def take(self, dialogue: GrpcDialogue, *, credit: bool = True) -> None:
        data = b"".join(bytes(part) for part in dialogue.output)
        dialogue.output.clear()
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.headers[event.stream_id] = [
                        (bytes(name).decode(), bytes(value).decode()) for name, value in event.headers
                    ]
                    self.bodies[event.stream_id] = b""
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] += event.data
                    if credit and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.append(event.stream_id)
                case h2.events.StreamReset():
                    self.resets.append(event.stream_id)

    def answer(self, stream: int, *, status: str = "0", extra: list[tuple[str, str]] | None = None) -> None:
        self.h2.send_headers(stream, HEADERS)
        self.h2.send_data(stream, MESSAGE)
        self.h2.send_headers(stream, [("grpc-status", status), *(extra or [])], end_stream=True)


def _connected(body: bytes = MESSAGE, *, keep: bool = False, **changes: int) -> tuple[GrpcDialogue, Server]:
    dialogue = GrpcDialogue(GrpcRequest(BLOCKS, body), keep_bodies=keep)
    server = Server(**changes)
    dialogue.open()
    assert not dialogue.ready
    assert dialogue.feed(server.h2.data_to_send()) == []
    assert dialogue.ready
    server.take(dialogue)
    dialogue.feed(server.h2.data_to_send())
    return dialogue, server


def _kinds(answers: list[Answer]) -> list[tuple[int, str]]:
    return [(answer.tag, answer.kind) for answer in answers]


def test_requests_teach_their_headers_once_and_then_index_them() -> None:
    dialogue, server = _connected()
    sizes = []
    for expected in (1, 3, 5):
        assert dialogue.request() == expected
        sizes.append(len(dialogue.output[0]))
        server.take(dialogue)
        assert [(name.encode(), value.encode()) for name, value in server.headers[expected]] == FIELDS
        assert server.bodies[expected] == MESSAGE
    assert sizes[0] > sizes[1] + 60
    assert sizes[1] == sizes[2] == 9 + len(FIELDS) + 9 + len(MESSAGE)
    assert server.ended == [1, 3, 5]


@pytest.mark.parametrize("table", [0, 100])
def test_a_server_with_a_small_table_gets_literals(table: int) -> None:
    dialogue, server = _connected(HEADER_TABLE_SIZE=table)
    for stream in (1, 3):
        dialogue.request()
        server.take(dialogue)
        assert len(server.headers[stream]) == len(FIELDS)


def test_changing_fields_arrive_and_change() -> None:
    unique = Unique(encode_literal, timeout_us=1_000_000, tokens=(), seed=3)
    dialogue = GrpcDialogue(GrpcRequest(BLOCKS, MESSAGE), unique=unique)
    server = Server()
    dialogue.open()
    dialogue.feed(server.h2.data_to_send())
    for _ in range(3):
        dialogue.request()
    server.take(dialogue)
    seen = [dict(headers) for headers in server.headers.values()]
    assert len({fields["traceparent"] for fields in seen}) == 3
    assert all(fields[":path"].endswith("ModelInfer") for fields in seen)
    assert list(server.bodies.values()) == [MESSAGE] * 3


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_answers_in_any_pieces(data: st.DataObject) -> None:
    keep = data.draw(st.booleans())
    dialogue, server = _connected(keep=keep)
    streams = [dialogue.request() for _ in range(3)]
    server.take(dialogue)
    for stream in streams:
        server.answer(stream)
    raw = server.h2.data_to_send()
    cuts = data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=6))
    edges = sorted({0, len(raw), *cuts})
    answers = [
        answer for start, stop in itertools.pairwise(edges) for answer in dialogue.feed(raw[start:stop])
    ]
    assert _kinds(answers) == [(stream, "") for stream in streams]
    assert [bytes(answer.body) for answer in answers] == [MESSAGE if keep else b""] * 3


def test_known_blocks_are_looked_up_only_while_the_table_stands_still() -> None:
    dialogue, server = _connected()
    for round_, status in enumerate(["0", "0", "8", "0", "14", "0"]):
        stream = dialogue.request()
        server.take(dialogue)
        server.answer(stream, status=status, extra=[("x-changes", str(round_ // 2))])
        (answer,) = dialogue.feed(server.h2.data_to_send())
        assert answer.kind.removeprefix("grpc ").partition(" ")[0] == ("" if status == "0" else status)


@pytest.mark.parametrize(
    ("trailers", "kind", "detail"),
    [
        ([("grpc-status", "5"), ("grpc-message", "no%20model")], "grpc 5 NOT_FOUND", "no model"),
        ([("grpc-status", "0")], "grpc no message", ""),
        ([("x", "y")], "grpc no status", ""),
    ],
)
def test_trailers_only(trailers: list[tuple[str, str]], kind: str, detail: str) -> None:
    dialogue, server = _connected()
    stream = dialogue.request()
    server.take(dialogue)
    server.h2.send_headers(stream, [*HEADERS, *trailers], end_stream=True)
    assert dialogue.feed(server.h2.data_to_send()) == [Answer(stream, kind, detail)]


def test_an_answer_that_is_no_grpc_is_told_by_its_http_status() -> None:
    dialogue, server = _connected()
    stream = dialogue.request()
    server.take(dialogue)
    server.h2.send_headers(stream, [(":status", "502")])
    server.h2.send_data(stream, b"<html>bad gateway", end_stream=True)
    ((answer),) = dialogue.feed(server.h2.data_to_send())
    assert answer.kind == "http 502"


def test_resets_and_cancelled_calls() -> None:
    dialogue, server = _connected()
    first, second, third = (dialogue.request() for _ in range(3))
    server.take(dialogue)
    server.h2.reset_stream(first, 7)
    assert _kinds(dialogue.feed(server.h2.data_to_send())) == [(first, "h2 reset 7")]
    assert dialogue.cancel(second)
    assert dialogue.output == [b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x08"]
    server.answer(second)  # crosses the reset
    server.answer(third)
    assert _kinds(dialogue.feed(server.h2.data_to_send())) == [(third, "")]


def test_goaway_hands_back_what_was_not_processed() -> None:
    dialogue, server = _connected()
    first, second = (dialogue.request() for _ in range(2))
    server.take(dialogue)
    server.h2.close_connection(last_stream_id=first)
    assert _kinds(dialogue.feed(server.h2.data_to_send())) == [(second, UNPROCESSED)]
    assert dialogue.closing


def test_goaway_for_a_fault_fails_what_was_not_processed() -> None:
    dialogue, server = _connected()
    stream = dialogue.request()
    server.take(dialogue)
    server.h2.close_connection(error_code=11, last_stream_id=0)
    assert _kinds(dialogue.feed(server.h2.data_to_send())) == [(stream, "h2 goaway 11")]


def test_pings_are_answered() -> None:
    dialogue, server = _connected()
    server.h2.ping(b"12345678")
    assert dialogue.feed(server.h2.data_to_send()) == []
    events = server.h2.receive_data(b"".join(bytes(part) for part in dialogue.output))
    assert any(isinstance(event, h2.events.PingAckReceived) for event in events)


@pytest.mark.parametrize("window", [1, 1000, 65_535, 1 << 20])
@pytest.mark.parametrize("frame", [16_384, 1 << 18])
def test_a_large_body_keeps_to_the_windows(window: int, frame: int) -> None:
    body = bytes(range(256)) * (20 if window == 1 else 1200)
    dialogue, server = _connected(body, INITIAL_WINDOW_SIZE=window, MAX_FRAME_SIZE=frame)
    streams = [dialogue.request(), dialogue.request()]
    for _ in range(2 * len(body)):
        if not dialogue.output:
            break
        server.take(dialogue)  # hyper-h2 raises where a window is overrun
        dialogue.feed(server.h2.data_to_send())
    assert sorted(server.ended) == streams
    assert all(server.bodies[stream] == body for stream in streams)


def test_a_window_that_is_enlarged_by_settings_lets_go_on() -> None:
    dialogue, server = _connected(bytes(50_000), INITIAL_WINDOW_SIZE=10)
    stream = dialogue.request()
    server.take(dialogue, credit=False)
    assert len(server.bodies[stream]) == 10
    server.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 60_000})
    dialogue.feed(server.h2.data_to_send())
    server.take(dialogue, credit=False)
    assert server.ended == [stream]


def test_an_early_answer_stops_the_upload() -> None:
    dialogue, server = _connected(bytes(200_000))
    stream = dialogue.request()
    server.take(dialogue, credit=False)
    server.h2.send_headers(stream, [*HEADERS, ("grpc-status", "8")], end_stream=True)
    assert _kinds(dialogue.feed(server.h2.data_to_send())) == [(stream, "grpc 8 RESOURCE_EXHAUSTED")]
    server.take(dialogue)
    assert server.resets == [stream]


def test_the_connection_window_is_topped_up() -> None:
    dialogue, server = _connected()
    stream = dialogue.request()
    server.take(dialogue)
    before = server.h2.outbound_flow_control_window
    frame = (1 << 20).to_bytes(3, "big") + b"\x00\x00" + stream.to_bytes(4, "big")
    piece = bytes(1 << 20)
    for _ in range(300):
        dialogue.feed(frame)
        assert dialogue.expected == len(piece)
        dialogue.feed(memoryview(piece))
    (update,) = dialogue.output
    assert bytes(update[3:9]) == b"\x08\x00\x00\x00\x00\x00"
    assert 1 << 28 < int.from_bytes(update[9:], "big") < 300 << 20
    assert before == (1 << 31) - 1


def test_the_servers_limit_of_streams_is_known() -> None:
    dialogue, _ = _connected(MAX_CONCURRENT_STREAMS=7)
    assert dialogue.limit == 7


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1"),
        (b"\xff\xff\xff\x06\x00\x00\x00\x00\x00", "frame of"),
        (b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff", "HPACK"),
        (b"\x00\x00\x01\x09\x04\x00\x00\x00\x01\x88", "CONTINUATION"),
        (b"\x00\x00\x02\x01\x0d\x00\x00\x00\x01\x05\x88", "padding"),
    ],
)
def test_nonsense_breaks_the_connection(raw: bytes, said: str) -> None:
    with pytest.raises(Broken, match=said):
        GrpcDialogue(GrpcRequest(BLOCKS, MESSAGE)).feed(raw)
