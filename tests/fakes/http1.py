"""An Http1Connection on a fake transport, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.wire.exchange import Peer, Service
from gateway.wire.http1 import HeadCache, Http1Connection, Shared
from gateway.wire.settings import WireSettings
from tests.fakes.services import FakeBodyMemory
from tests.fakes.transport import FakeTransport


class Answer(NamedTuple):
    """One answer as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Http1:
    """A client's view of one connection: `send` bytes, read `answers`."""

    def __init__(
        self, service: Service, *, cached: bool = True, extra: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self.now = 100.0
        self.transport = FakeTransport(extra=extra)
        self.memory = FakeBodyMemory()
        self.faults: dict[str, int] = {}
        self.later: list[Callable[[], None]] = []
        self.lost = 0
        self.connection = Http1Connection(
            self.transport,
            service,
            WireSettings(**settings),
            lambda: self.now,
            Peer(("192.0.2.1", 4711)),
            self.memory,
            Shared(HeadCache(64 if cached else 0), self.faults, self.later.append),
        )
        self.connection.on_lost = self._count_lost
        self.transport.set_protocol(self.connection)

    def send(self, *pieces: bytes) -> None:
        """The client sends; what the connection put off for the loop's next rounds is then run too."""
        for piece in pieces:
            self.connection.data_received(piece)
            self.run()

    def run(self) -> None:
        """The loop's next rounds."""
        while self.later:
            self.later.pop(0)()

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Moves the clock and sweeps on the way, as a listener does."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.connection.sweep(self.now)

    def end(self) -> None:
        """The client closes its sending half."""
        if not self.connection.eof_received():
            self.transport.close()

    def raw(self) -> bytes:
        """Bytes sent to the client since the last look."""
        return self.transport.taken()

    def answers(self, *, to_head: bool = False) -> list[Answer]:
        """The whole answers since the last look; fails where the bytes are not just these."""
        return parse_answers(self.raw(), to_head=to_head)

    def answer(self, *, to_head: bool = False) -> Answer:
        """The one answer since the last look."""
        (answer,) = self.answers(to_head=to_head)
        return answer

    @property
    def is_over(self) -> bool:
        """True once the server has said that it sends no more."""
        return self.transport.closed or self.transport.eof_written

    def _count_lost(self) -> None:
        self.lost += 1


def parse_answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """Takes a stream of answers apart, strictly."""
    answers = []
    while data:
        raw_head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"a cut head: {raw_head!r}"
        line, *fields = raw_head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [field.split(": ", 1) for field in fields]
        headers = {pair[0]: pair[1] for pair in pairs}
        assert len(headers) == len(pairs), "a repeated field"
        body, data = (b"", data) if to_head else _body(headers, data)
        answers.append(Answer(int(status), headers, body))
    return answers


def _body(headers: dict[str, str], data: bytes) -> tuple[bytes, bytes]:
    if headers.get("transfer-encoding") == "chunked":
        pieces = []
        while True:
            size, _, data = data.partition(b"\r\n")
            count = int(size, 16)
            pieces.append(data[:count])
            assert data[count : count + 2] == b"\r\n"
            data = data[count + 2 :]
            if not count:
                return b"".join(pieces), data
    size_bytes = int(headers.get("content-length", "0"))
    assert len(data) >= size_bytes, "a cut body"
    return data[:size_bytes], data[size_bytes:]


def post(path: str, body: bytes, *fields: str) -> bytes:
    """A POST with a declared length."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def get(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *fields, "", ""]).encode()


def chunked(path: str, *chunks: bytes, trailers: bytes = b"", fields: tuple[str, ...] = ()) -> bytes:
    """A POST in chunks."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *fields, "", ""]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(lines).encode() + body + b"0\r\n" + trailers + b"\r\n"
