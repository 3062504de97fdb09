"""A connection against a bare listening socket that the test drives by hand."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from gateway.cli.bench.connection import Connection
from gateway.cli.bench.dialogue import Answer
from gateway.cli.bench.rest import RestDialogue, RestRequest
from gateway.core.clock import monotonic_s

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Recorder:
    """An owner that writes down what it is told."""

    def __init__(self) -> None:
        self.bytes_in = self.bytes_out = 0
        self.answers: list[tuple[str, float]] = []
        self.events: list[str] = []

    def answered(self, link: Connection, answer: Answer, started: float, sent: float, now: float) -> None:
        assert started <= sent <= now
        self.answers.append((answer.kind, started))

    def opened(self, link: Connection) -> None:
        self.events.append("opened")

    def lost(self, link: Connection, kind: str, detail: str, now: float) -> None:
        self.events.append(f"lost {kind}".rstrip())


class Rig:
    """A connection, its epoll object and its server's end."""

    def __init__(self, listener: socket.socket, body: bytes, epoll: select.epoll) -> None:
        self.owner = Recorder()
        self.epoll = epoll
        self.listener = listener
        self.link = Connection(
            (socket.AF_INET, listener.getsockname()),
            lambda: RestDialogue(RestRequest(b"POST / HTTP/1.1\r\n", body)),
            1,
            epoll=epoll,
            owner=self.owner,
            large=bytearray(1 << 20),
            clock=monotonic_s,
        )

    def turn(self, until: Callable[[], object]) -> None:
        end = monotonic_s() + 5
        while not until():
            assert monotonic_s() < end
            for _, mask in self.epoll.poll(0.1):
                self.link.on_event(mask)

    def open(self) -> socket.socket:
        self.link.open()
        self.turn(lambda: self.owner.events)
        assert self.owner.events == ["opened"]
        peer, _ = self.listener.accept()
        peer.settimeout(30)
        return peer


@pytest.fixture
def make_rig() -> Iterator[Callable[[bytes], Rig]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        select.epoll() as epoll,
        contextlib.ExitStack() as stack,
    ):

        def make(body: bytes) -> Rig:
            rig = Rig(listener, body, epoll)
            stack.callback(rig.link.close)
            return rig

        yield make


def test_a_request_and_its_answer(make_rig: Callable[[bytes], Rig]) -> None:
    rig = make_rig(b"x")
    with rig.open() as peer:
        started = monotonic_s() - 3  # it had been due long ago
        rig.link.launch(started, monotonic_s())
        sent = peer.recv(100)
        assert sent == b"POST / HTTP/1.1\r\n\r\nx"
        peer.sendall(OK)
        rig.turn(lambda: rig.owner.answers)
    assert rig.owner.answers == [("", started)]
    assert (rig.owner.bytes_out, rig.owner.bytes_in) == (len(sent), len(OK))
    assert rig.link.has_answered
    assert not rig.link.in_flight


def test_what_the_socket_does_not_take_is_sent_when_it_does(make_rig: Callable[[bytes], Rig]) -> None:
    body = bytes(range(256)) * (16 << 12)  # 16 MiB, more than the buffers of both sides
    rig = make_rig(body)
    received = bytearray()
    with rig.open() as peer:
        rig.link.launch(monotonic_s(), monotonic_s())
        assert rig.owner.bytes_out < len(body)
        peer.setblocking(False)

        def drained() -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received.extend(peer.recv(1 << 20))
            return len(received) >= len(body) + 19

        rig.turn(drained)
        assert received[19:] == body
        peer.sendall(OK)
        rig.turn(lambda: rig.owner.answers)
    assert rig.owner.bytes_out == len(received)


def test_large_answers_are_read_in_large_pieces(make_rig: Callable[[bytes], Rig]) -> None:
    rig = make_rig(b"")
    with rig.open() as peer:
        rig.link.launch(monotonic_s(), monotonic_s())
        peer.setblocking(False)
        left = memoryview(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + bytes(5_000_000))
        size = len(left)
        while not rig.owner.answers:
            with contextlib.suppress(BlockingIOError):
                left = left[peer.send(left) :] if left else left
            for _, mask in rig.epoll.poll(0.01):
                rig.link.on_event(mask)
    assert rig.owner.answers[0][0] == ""
    assert rig.owner.bytes_in == size


@pytest.mark.parametrize(
    ("said", "kind", "end"),
    [
        (b"", "closed", "lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", "closed", "lost"),
        (b"nonsense\r\n\r\n", "protocol", "lost"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "", "lost"),
    ],
)
def test_an_end_in_the_middle(make_rig: Callable[[bytes], Rig], said: bytes, kind: str, end: str) -> None:
    rig = make_rig(b"")
    peer = rig.open()
    rig.link.launch(monotonic_s(), monotonic_s())
    peer.recv(100)
    peer.sendall(said)
    peer.close()
    rig.turn(lambda: len(rig.owner.events) > 1)
    assert [found for found, _ in rig.owner.answers] == [kind]
    assert rig.owner.events == ["opened", end]
    assert not rig.link.is_open
    rig.link.on_event(select.EPOLLIN)  # an event left over from before is nothing


def test_a_request_given_up_closes_and_it_can_be_opened_again(make_rig: Callable[[bytes], Rig]) -> None:
    rig = make_rig(b"")
    with rig.open() as peer:
        rig.link.launch(monotonic_s(), monotonic_s())
        rig.link.give_up(0, "timeout", monotonic_s())
        assert [kind for kind, _ in rig.owner.answers] == ["timeout"]
        peer.recv(100)
        assert peer.recv(100) == b""
    rig.owner.events.clear()
    rig.open().close()
    assert rig.link.free_slots == 1


def test_a_refused_connection_is_lost(make_rig: Callable[[bytes], Rig]) -> None:
    rig = make_rig(b"")
    rig.listener.close()
    rig.link.open()
    rig.turn(lambda: rig.owner.events)
    assert rig.owner.events == ["lost connect"]
