"""A raw HTTP/2 client over a fake transport: says any frame, understands what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import hpack

from gateway.wire.exchange import BodyMemory, Peer, Service
from gateway.wire.http2 import Http2Connection, frames
from gateway.wire.http2.frames import DATA, END_HEADERS, END_STREAM, HEADER, HEADERS, PREFACE
from gateway.wire.settings import WireSettings
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.services import EchoService, FakeBodyMemory
from tests.fakes.transport import FakeTransport

Fields = Iterable[tuple[bytes, bytes]]

PEER = Peer(("127.0.0.1", 40_000))


def request_fields(
    path: bytes = b"/", method: bytes = b"POST", *more: tuple[bytes, bytes]
) -> list[tuple[bytes, bytes]]:
    return [
        (b":method", method),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"localhost"),
        *more,
    ]


class Frame(NamedTuple):
    """One frame as it was sent."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        at = 4 if self.kind == frames.GOAWAY else 0
        return int(frames.WORD.unpack_from(self.payload, at)[0])


class Answer:
    """What a stream was answered so far."""

    def __init__(self) -> None:
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.body = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.headers[0])[b":status"])

    @property
    def trailers(self) -> dict[bytes, bytes]:
        return dict(self.headers[1])


class Http2:
    """A connection with a fake on every side; `answers` by stream id, `seen` all frames since asked."""

    def __init__(
        self,
        service: Service | None = None,
        *,
        memory: BodyMemory | None = None,
        client_settings: Iterable[tuple[int, int]] = (),
        greet: bool = True,
        extra: dict[str, Any] | None = None,
        **limits: object,
    ) -> None:
        self.service = service if service is not None else EchoService()
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.transport = FakeTransport(extra=extra)
        self.transport.closes_on_eof = True
        self.memory = memory or FakeBodyMemory()
        self.settings = WireSettings.model_validate(limits)
        self.connection = Http2Connection(
            self.transport, self.service, self.settings, self.clock, PEER, self.memory, self.loop.call_soon
        )
        self.transport.set_protocol(self.connection)  # type: ignore[arg-type]
        self.answers: dict[int, Answer] = {}
        self.all: list[Frame] = []
        self._unparsed = b""
        self._block = b""
        self._decoder = hpack.Decoder()
        self.encoder = hpack.Encoder()
        if greet:
            self.send(PREFACE, frames.settings(client_settings))
            self.frames()

    # ---- what the client says ----

    def send(self, *data: bytes) -> None:
        for piece in data:
            self.connection.data_received(piece)

    def block(self, fields: Fields) -> bytes:
        encoded: bytes = self.encoder.encode(list(fields), huffman=False)
        return encoded

    def headers(
        self,
        stream_id: int,
        path: bytes = b"/",
        *more: tuple[bytes, bytes],
        end: bool = False,
        method: bytes = b"POST",
    ) -> bytes:
        flags = END_HEADERS | (END_STREAM if end else 0)
        return frames.frame(HEADERS, flags, stream_id, self.block(request_fields(path, method, *more)))

    def request(self, stream_id: int, body: bytes = b"", path: bytes = b"/") -> bytes:
        return self.headers(stream_id, path) + data(stream_id, body, end=True)

    def sweep(self, seconds: float) -> None:
        """Lets `seconds` pass, with a sweep every half second."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 0.5)
            self.connection.sweep(self.clock.now)

    # ---- what it hears ----

    def frames(self) -> list[Frame]:
        """The frames since the last call, the loop's turn ended; also files them into `answers`."""
        self.loop.turn()
        self._unparsed += self.transport.taken()
        found = []
        while len(self._unparsed) >= 9:
            word, flags, stream_id = HEADER.unpack_from(self._unparsed)
            stop = 9 + (word >> 8)
            if len(self._unparsed) < stop:
                break
            found.append(Frame(word & 0xFF, flags, stream_id, self._unparsed[9:stop]))
            self._unparsed = self._unparsed[stop:]
        for frame in found:
            self._file(frame)
        self.all += found
        return found

    def kinds(self, kind: int) -> list[Frame]:
        """Those of one type among the frames since the last call."""
        return [frame for frame in self.frames() if frame.kind == kind]

    def answer(self, stream_id: int) -> Answer:
        self.frames()
        return self.answers[stream_id]

    def goaway(self) -> Frame | None:
        self.frames()
        return next((frame for frame in reversed(self.all) if frame.kind == frames.GOAWAY), None)

    def failed_with(self) -> int | None:
        """The code of the GOAWAY that ended the connection."""
        found = self.goaway()
        return found.code if found is not None and self.transport.closed else None

    def _file(self, frame: Frame) -> None:
        if not frame.stream_id:
            return
        answer = self.answers.setdefault(frame.stream_id, Answer())
        if frame.kind in (HEADERS, frames.CONTINUATION):
            self._block += frame.payload
            if frame.flags & END_HEADERS:
                answer.headers.append([
                    (bytes(k), bytes(v)) for k, v in self._decoder.decode(self._block, raw=True)
                ])
                self._block = b""
        elif frame.kind == DATA:
            answer.body += frame.payload
        elif frame.kind == frames.RST_STREAM:
            answer.reset = frame.code
        if frame.kind in (HEADERS, DATA) and frame.flags & END_STREAM:
            assert not answer.ended
            answer.ended = True


def data(stream_id: int, body: bytes, *, end: bool = False, padding: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if padding is None:
        return frames.frame(DATA, flags, stream_id, body)
    return frames.frame(DATA, flags | frames.PADDED, stream_id, bytes((padding,)) + body + bytes(padding))


def rst(stream_id: int, code: int = 8) -> bytes:
    return frames.rst_stream(stream_id, code)
