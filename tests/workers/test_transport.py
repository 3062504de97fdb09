from __future__ import annotations

import gc
import os
import socket
from array import array
from collections.abc import Iterator

import pytest

from gateway.core.errors import Overloaded
from gateway.workers import frames, transport
from gateway.workers.arena import Arena
from gateway.workers.frames import Kind, ProtocolViolation
from gateway.workers.transport import MAX_BACKLOG, Outbox
from tests.fakes.forked_worker import PollLoop

GENERATION = 7
Pair = tuple[socket.socket, socket.socket]


def open_descriptors() -> int:
    gc.collect()  # what earlier tests left is not this one's
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        transport.configure(ours)
        transport.configure(theirs)
        yield ours, theirs


def receive(sock: socket.socket) -> tuple[int, int, int]:
    return transport.receive_segment(sock, memoryview(bytearray(4096)), GENERATION)


def test_a_segment_is_announced_once_and_its_descriptor_follows(pair: Pair) -> None:
    arena = Arena(1 << 20)
    view, lease = arena.allocate(10) or pytest.fail("no room")
    view[:] = b"0123456789"
    outbox = Outbox(pair[0], PollLoop(), GENERATION)
    outbox.announce(lease.segment)
    outbox.announce(lease.segment)
    first = frames.unpack_header(pair[1].recv(4096), 48, GENERATION)
    assert (first.kind, first.detail) == (Kind.ANNOUNCE, lease.segment.number)
    number, fd, size = receive(pair[1])
    assert (number, size) == (lease.segment.number, lease.segment.size)
    assert os.pread(fd, 10, 0) == b"0123456789"
    os.close(fd)
    outbox.forget(number)
    outbox.forget(number)
    assert frames.unpack_header(pair[1].recv(4096), 48, GENERATION).kind is Kind.FORGET
    with pytest.raises(BlockingIOError):
        receive(pair[1])


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [Kind.SEGMENT, Kind.FORGET])
def test_anything_but_one_descriptor_with_a_segment_is_refused(pair: Pair, kind: Kind, count: int) -> None:
    if (kind, count) == (Kind.SEGMENT, 1):
        return
    reading, writing = os.pipe()
    before = open_descriptors()
    rights = array("i", [reading] * count)
    pair[0].sendmsg(
        [frames.pack_control(kind, GENERATION, 1, 10)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
    )
    with pytest.raises(ProtocolViolation):
        receive(pair[1])
    assert open_descriptors() == before
    os.close(reading)
    os.close(writing)


def test_what_the_socket_does_not_take_waits_in_order(pair: Pair) -> None:
    loop = PollLoop()
    drained: list[int] = []
    outbox = Outbox(pair[0], loop, GENERATION, lambda: drained.append(1))
    assert not outbox.has_waiting
    count = 0
    while not loop.writers:
        outbox.send(b"%08d" % count + bytes(100_000))
        count += 1
    outbox.check_room()
    for _ in range(MAX_BACKLOG):
        outbox.send(b"%08d" % count)
        count += 1
    with pytest.raises(Overloaded):
        outbox.check_room()
    seen: list[int] = []
    loop.add_reader(pair[1].fileno(), lambda: seen.append(int(pair[1].recv(200_000)[:8])))
    loop.run_until(lambda: len(seen) == count)
    assert seen == list(range(count))
    assert not loop.writers
    assert (outbox.has_waiting, drained) == (False, [1])
    outbox.check_room()


def test_closing_drops_what_waits(pair: Pair) -> None:
    loop = PollLoop()
    outbox = Outbox(pair[0], loop, GENERATION)
    while not loop.writers:
        outbox.send(bytes(100_000))
    outbox.close()
    assert not loop.writers


def test_a_dead_peer_is_the_readers_business(pair: Pair) -> None:
    pair[1].close()
    Outbox(pair[0], PollLoop(), GENERATION).send(b"x")
