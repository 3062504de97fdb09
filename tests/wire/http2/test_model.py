"""Hypothesis drives hyper-h2 as the client: each stream must get its own echo, or a legal error.

The model is what the client has sent on each stream. Streams interleave, windows are of every size,
bodies are padded and cut at arbitrary bytes, resets come at any state; hyper-h2 raises on whatever it
finds illegal in our frames.
"""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.tensor import Buffer
from gateway.wire.exchange import Exchange
from tests.fakes.http2 import Http2
from tests.fakes.services import TEXT, RoutingService, StreamEndpoint, WholeEndpoint

TRAILERS = ((b"grpc-status", b"0"), (b"grpc-message", b"fine"))
PATHS = ("/now", "/late", "/stream", "/pieces")
LEGAL_RESETS = {0, 7, 11}


class Stream:
    """What one stream has sent, and what came back."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sent = b""
        self.got = b""
        self.has_ended = False
        self.is_answered = False
        self.is_reset = False
        self.status: bytes | None = None


class Http2Model(RuleBasedStateMachine):
    """A gateway that echoes, and a client that does whatever HTTP/2 allows."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[tuple[Exchange, bytes]] = []
        self.paused: list[Exchange] = []
        self.streams: dict[int, Stream] = {}

    @initialize(
        window=st.sampled_from([0, 1, 5, 1000, 65_535, 1 << 20]),
        own_window=st.sampled_from([65_535, 100_000, 1 << 20]),
        frame=st.sampled_from([16_384, 20_000, 1 << 20]),
        shared=st.sampled_from([4096, 65_536]),
    )
    def connect(self, window: int, own_window: int, frame: int, shared: int) -> None:
        pieces = StreamEndpoint(opening=lambda exchange: exchange.start(200, TEXT), at_end=self._finish)
        service = RoutingService(
            WholeEndpoint(lambda exchange, body: exchange.respond(200, TEXT, body, TRAILERS)),
            late=WholeEndpoint(self._keep),
            stream=StreamEndpoint(lambda exchange, body: exchange.respond(200, TEXT, body)),
            pieces=pieces,
        )
        self.pieces = pieces
        self.http = Http2(
            service,
            greet=False,
            http2_stream_window=own_window,
            http2_connection_window=2 * own_window,
            http2_max_streams=8,
            http2_max_frame_size=frame,
            shared_body_bytes=shared,
        )
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.client = h2.connection.H2Connection(config)
        self.client.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.client.initiate_connection()
        self._exchange([])

    # ---- the gateway's side ----

    def _keep(self, exchange: Exchange, body: Buffer) -> None:
        self.late.append((exchange, bytes(body)))

    def _finish(self, exchange: Exchange, body: bytes) -> None:
        exchange.write(body)
        exchange.finish(TRAILERS)

    # ---- the client's side ----

    def _exchange(self, cuts: list[int]) -> None:
        """Carries bytes both ways until neither side has more to say."""
        said = self.client.data_to_send()
        at = 0
        for cut in [*sorted(cut % (len(said) + 1) for cut in cuts), len(said)]:
            if cut > at:
                self.http.send(said[at:cut])
                at = cut
        for _ in range(100):
            self.http.loop.turn()
            heard = self.http.transport.taken()
            if not heard:
                return
            for event in self.client.receive_data(heard):
                self._hear(event)
            answer = self.client.data_to_send()
            if answer:
                self.http.send(answer)
        raise AssertionError("the two never come to an end")

    def _hear(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.streams[event.stream_id].status = dict(event.headers)[b":status"]
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].got += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].is_answered = True
        elif isinstance(event, h2.events.StreamReset):
            stream = self.streams[event.stream_id]
            assert event.error_code in LEGAL_RESETS
            assert event.error_code or stream.is_answered
            stream.is_reset = True
        assert not isinstance(event, h2.events.ConnectionTerminated)

    def _open(self) -> list[int]:
        return [key for key, stream in self.streams.items() if not stream.has_ended and not stream.is_reset]

    @rule(
        path=st.sampled_from(PATHS),
        length=st.booleans(),
        size=st.integers(0, 300),
        cuts=st.lists(st.integers(0, 500), max_size=3),
    )
    def request(self, path: str, length: bool, size: int, cuts: list[int]) -> None:
        """A whole small request at once."""
        if self.client.open_outbound_streams >= 8 or self.client.outbound_flow_control_window < size:
            return
        stream_id = self.client.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
        fields += [("content-length", str(size))] if length else []
        stream = self.streams[stream_id] = Stream(path)
        stream.sent = bytes((stream_id + index) % 256 for index in range(size))
        stream.has_ended = True
        self.client.send_headers(stream_id, fields)
        self.client.send_data(stream_id, stream.sent, end_stream=True)
        self._exchange(cuts)

    @rule(path=st.sampled_from(PATHS), value=st.text("abc", max_size=5), bare=st.booleans())
    def open(self, path: str, value: str, bare: bool) -> None:
        """A request whose body is to follow, or that has none."""
        if self.client.open_outbound_streams >= 8:
            return
        stream_id = self.client.get_next_available_stream_id()
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "x"),
            ("v", value),
        ]
        stream = self.streams[stream_id] = Stream(path)
        stream.has_ended = bare
        self.client.send_headers(stream_id, fields, end_stream=bare)
        self._exchange([])

    @precondition(lambda self: self._open())
    @rule(
        data=st.data(),
        size=st.integers(0, 40_000),
        padding=st.one_of(st.none(), st.integers(0, 255)),
        end=st.booleans(),
        cuts=st.lists(st.integers(0, 50_000), max_size=4),
    )
    def body(self, data: st.DataObject, size: int, padding: int | None, end: bool, cuts: list[int]) -> None:
        stream_id = data.draw(st.sampled_from(self._open()))
        stream = self.streams[stream_id]
        room = self.client.local_flow_control_window(stream_id) - (0 if padding is None else padding + 1)
        size = min(size, room, self.client.max_outbound_frame_size - 256)
        if size < 0 or (size == 0 and not end):
            return
        piece = bytes((len(stream.sent) + index + stream_id) % 253 for index in range(size))
        self.client.send_data(stream_id, piece, end_stream=end, pad_length=padding)
        stream.sent += piece
        stream.has_ended = end
        self._exchange(cuts)

    @precondition(lambda self: self._open())
    @rule(data=st.data())
    def trailers(self, data: st.DataObject) -> None:
        stream_id = data.draw(st.sampled_from(self._open()))
        self.client.send_headers(stream_id, [("checksum", "1")], end_stream=True)
        self.streams[stream_id].has_ended = True
        self._exchange([])

    @precondition(lambda self: any(not s.is_reset and not s.is_answered for s in self.streams.values()))
    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        alive = [key for key, s in self.streams.items() if not s.is_reset and not s.is_answered]
        stream_id = data.draw(st.sampled_from(alive))
        self.client.reset_stream(stream_id, 8)
        self.streams[stream_id].is_reset = True
        self._exchange([])

    @rule(increment=st.integers(1, 100_000), data=st.data())
    def widen(self, increment: int, data: st.DataObject) -> None:
        alive = [key for key, s in self.streams.items() if not s.is_reset and not s.is_answered]
        stream_id = data.draw(st.sampled_from([None, *alive]))
        self.client.increment_flow_control_window(increment, stream_id)
        self._exchange([])

    @rule(window=st.sampled_from([0, 1, 77, 5000, 65_535, 200_000]))
    def change_window(self, window: int) -> None:
        self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self._exchange([])

    @rule()
    def ping(self) -> None:
        self.client.ping(b"12345678")
        self._exchange([])

    @precondition(lambda self: self.late)
    @rule(data=st.data(), form=st.sampled_from(["whole", "parts", "pieces", "turns"]))
    def answer_late(self, data: st.DataObject, form: str) -> None:
        exchange, body = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
        half = len(body) // 2
        if form == "whole":
            exchange.respond(200, TEXT, body, TRAILERS)
        elif form == "parts":
            exchange.respond(200, TEXT, (body[:half], memoryview(body)[half:]))
        else:
            exchange.start(200, TEXT)
            exchange.write(body[:half])
            if form == "turns":
                self._exchange([])
            exchange.write(body[half:-1])
            exchange.write(body[half:][-1:])
            if form == "turns":
                self._exchange([])
            exchange.finish()
        self._exchange([])

    @rule(pause=st.booleans(), data=st.data())
    def read(self, pause: bool, data: st.DataObject) -> None:
        receivers = [receiver for receiver in self.pieces.receivers if receiver.exchange.is_open]
        if receivers:
            exchange = data.draw(st.sampled_from(receivers)).exchange
            (exchange.pause_reading if pause else exchange.resume_reading)()
            self._exchange([])

    @rule(taking=st.booleans())
    def network(self, taking: bool) -> None:
        self.http.transport.taking = taking
        if taking:
            self.http.transport.take()
        self._exchange([])

    # ---- what must always be true ----

    @invariant()
    def no_stream_gets_anothers_bytes(self) -> None:
        for stream in self.streams.values():
            if not stream.is_reset:
                assert stream.sent.startswith(stream.got)
            if stream.is_answered and stream.status == b"200":
                assert stream.got == stream.sent or stream.is_reset

    @invariant()
    def the_connection_is_sound(self) -> None:
        if self.streams:
            assert not self.http.transport.closed
            self.http.connection._sender.check()

    def teardown(self) -> None:
        """With every window open and every answer given, nothing is owed."""
        if not hasattr(self, "http"):
            return
        self.http.transport.taking = True
        self.http.transport.take()
        for receiver in self.pieces.receivers:
            receiver.exchange.resume_reading()
        for exchange, body in self.late:
            exchange.respond(200, TEXT, body)
        self._exchange([])
        for stream_id in self._open():
            self.client.send_headers(stream_id, [("end", "1")], end_stream=True)
            self.streams[stream_id].has_ended = True
        self.late.clear()
        self._exchange([])
        for exchange, body in self.late:
            exchange.respond(200, TEXT, body)
        self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 22})
        self.client.increment_flow_control_window(1 << 29)
        self._exchange([])
        for stream in self.streams.values():
            assert stream.is_reset or (stream.is_answered and stream.got == stream.sent)
        assert self.http.connection.is_idle
        assert all(lease.holds == 1 for lease in self.http.memory.leases)  # type: ignore[attr-defined]


TestHttp2Model = Http2Model.TestCase
TestHttp2Model.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
