"""An HTTP/2 client that says whatever it is told to, frame by frame, over a real socket."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterable
from itertools import islice
from urllib.parse import urlsplit

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = Iterable[tuple[str, str]]


def fields(path: str = "/v2", method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    """A request's header fields."""
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"), *more]


class Http2Peer:
    """One connection, greeted. `heard` holds every frame that came, `ended` tells that no more will."""

    def __init__(self, url: str, settings: dict[int, int] | None = None, timeout_s: float = 10.0) -> None:
        where = urlsplit(url)
        self.sock = socket.create_connection((where.hostname, where.port), timeout_s)
        self.encoder = hpack.Encoder()
        self.heard: list[Frame] = []
        self.ended = False
        self._unparsed = b""
        self.send(PREFACE, SettingsFrame(0, settings=settings or {}).serialize())

    def __enter__(self) -> Http2Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *data: bytes) -> bool:
        """Sends it all; False once the other end does not take it any more."""
        try:
            self.sock.sendall(b"".join(data))
        except OSError:
            return False
        return True

    def request(self, stream_id: int, wanted: Fields | None = None, *, ends: bool = True) -> bytes:
        """HEADERS of a request, in one frame."""
        block = self.encoder.encode(list(wanted or fields()))
        flags = ["END_HEADERS", "END_STREAM"] if ends else ["END_HEADERS"]
        return HeadersFrame(stream_id, block, flags=flags).serialize()

    def hear(self) -> bool:
        """Takes what comes next; False at the end. Raises TimeoutError if nothing comes."""
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.ended = not data
        self._unparsed += data
        while len(self._unparsed) >= 9:
            frame, size = Frame.parse_frame_header(memoryview(self._unparsed[:9]))
            if len(self._unparsed) < 9 + size:
                break
            frame.parse_body(memoryview(self._unparsed[9 : 9 + size]))
            self.heard.append(frame)
            self._unparsed = self._unparsed[9 + size :]
        return not self.ended

    def hear_all(self) -> None:
        """Takes what comes until the connection ends."""
        while self.hear():
            pass

    def flood(self, frames: Iterable[bytes], batch: int = 50) -> int:
        """Sends frames until the other end has had enough, and hears it out; how many were sent."""
        sent, waiting = 0, iter(frames)
        while (some := list(islice(waiting, batch))) and self.send(*some):
            sent += len(some)
            # A GOAWAY is lost if the other end closes while our receive buffer is full of its answers.
            while not self.ended and select.select([self.sock], [], [], 0.001)[0]:
                self.hear()
            if self.ended or self.goaway() is not None:
                break
        if not self.ended:
            self.hear_all()
        return sent

    def has_answer(self, stream_id: int) -> bool:
        """True once a stream was answered whole."""
        return any(one.stream_id == stream_id and "END_STREAM" in one.flags for one in self.heard)

    def goaway(self) -> int | None:
        """The code of the last GOAWAY heard."""
        codes = [int(one.error_code) for one in self.heard if isinstance(one, GoAwayFrame)]
        return codes[-1] if codes else None


def raw(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame that no library would make."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream_id) + payload


def ping() -> bytes:
    return PingFrame(0, opaque_data=b"pingpong").serialize()


def settings_frame(values: dict[int, int] | None = None) -> bytes:
    return SettingsFrame(0, settings=values or {}).serialize()


def reset(stream_id: int) -> bytes:
    return RstStreamFrame(stream_id, error_code=8).serialize()


def data(stream_id: int, body: bytes = b"", *, ends: bool = False) -> bytes:
    return DataFrame(stream_id, body, flags=["END_STREAM"] if ends else []).serialize()


def continuation(stream_id: int, fragment: bytes, *, ends: bool = False) -> bytes:
    return ContinuationFrame(stream_id, fragment, flags=["END_HEADERS"] if ends else []).serialize()


def window_update(stream_id: int, increment: int) -> bytes:
    return WindowUpdateFrame(stream_id, window_increment=increment).serialize()
