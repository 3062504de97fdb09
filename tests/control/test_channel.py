"""Packets with descriptors over a real socket pair."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from gateway.control import channel
from gateway.control.channel import MAX_PACKET_BYTES, ControlChannel, packet_pair
from gateway.control.messages import (
    Activate,
    Attach,
    Configure,
    Counters,
    Detach,
    Detached,
    Drain,
    FromFront,
    ModelView,
    Snapshot,
    ToFront,
    VersionView,
)
from gateway.core.dtypes import DType
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.tensor_spec import TensorSpec
from tests.fakes.waiting import until

KEY = ModelKey("m", 3)
SPEC = ModelSpec("m", 3, "p", "b", (TensorSpec("x", DType.FP32, (-1, 2)),), (), 8)
VIEW = ModelView("m", (VersionView(3, "failed", SPEC, "why", 2.5),))


class End:
    """One end and what came out of it."""

    def __init__(self, sock: socket.socket, decoder_type: object) -> None:
        self.got: list[tuple[object, tuple[int, ...]]] = []
        self.closed: list[str] = []
        self.channel: ControlChannel[object] = ControlChannel(
            sock, decoder_type, lambda message, fds: self.got.append((message, fds)), self.closed.append
        )


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    fds = len(os.listdir("/proc/self/fd"))
    asyncio.run(scenario())  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) == fds, "a descriptor leaked"


def ends() -> tuple[End, End]:
    ours, theirs = packet_pair()
    return End(ours, FromFront), End(theirs, ToFront)


def test_every_message_survives_the_way() -> None:
    async def scenario() -> None:
        controller, front = ends()
        to_front = [
            Configure(0, "{}"),
            Snapshot(1, (VIEW,), ("gone",)),
            Attach(1, 2, KEY),
            Detach(1),
            Drain(2.0),
        ]
        to_controller = [Activate(KEY, 1.5), Detached(4), Counters(b"\x00\xff")]
        for message in to_front:
            controller.channel.send(message)
        for message in to_controller:
            front.channel.send(message)
        await until(lambda: len(front.got) == 5 and len(controller.got) == 3)
        assert [message for message, _ in front.got] == to_front
        assert [message for message, _ in controller.got] == to_controller
        controller.channel.close()
        await until(lambda: front.closed)
        assert front.closed == [""]
        assert not controller.closed

    run(scenario)


def test_descriptors_arrive_with_their_packet_and_are_closed_here() -> None:
    async def scenario() -> None:
        controller, front = ends()
        reading, writing = os.pipe()
        controller.channel.send(Detach(1))
        controller.channel.send(Attach(1, 2, KEY), (writing,))
        await until(lambda: len(front.got) == 2)
        assert front.got[0] == (Detach(1), ())
        (received,) = front.got[1][1]
        assert not os.get_inheritable(received)
        os.write(received, b"x")
        os.close(received)
        assert os.read(reading, 2) == b"x"
        assert os.read(reading, 2) == b"", "the sender's copy is closed"
        os.close(reading)
        for end in (controller, front):
            end.channel.close()

    run(scenario)


def test_what_the_kernel_does_not_take_is_queued_in_order() -> None:
    async def scenario() -> None:
        controller, front = ends()
        read_end, write_end = os.pipe()
        os.close(read_end)
        sent = 200
        for number in range(sent - 1):
            controller.channel.send(Snapshot(number, (ModelView("m" * 5000, ()),)))
        controller.channel.send(Attach(1, 2, KEY), (write_end,))
        assert controller.channel.queued_bytes > 500_000
        controller.channel.check()
        await until(lambda: len(front.got) == sent)
        assert [m.number for m, _ in front.got[:-1] if isinstance(m, Snapshot)] == list(range(sent - 1))
        os.close(front.got[-1][1][0])
        assert controller.channel.queued_bytes == 0
        controller.channel.check()
        for end in (controller, front):
            end.channel.close()

    run(scenario)


def test_a_peer_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MAX_QUEUED_PACKETS", 10)

    async def scenario() -> None:
        ours, theirs = packet_pair()
        end = End(ours, FromFront)
        for _ in range(2000):
            end.channel.send(
                Configure(0, "x" * 1000), (os.dup(theirs.fileno()),) if end.channel.queued_bytes else ()
            )
        assert not end.closed, "never from within send"
        await until(lambda: end.closed)
        assert end.closed == ["the peer does not read"]
        assert not end.channel.is_open
        theirs.close()

    run(scenario)


def test_a_message_no_packet_holds_is_refused() -> None:
    async def scenario() -> None:
        controller, front = ends()
        with pytest.raises(ValueError, match="too large"):
            controller.channel.send(Configure(0, "x" * MAX_PACKET_BYTES), (os.dup(0),))
        controller.channel.send(Configure(0, "x" * (MAX_PACKET_BYTES - 64)))
        await until(lambda: front.got)
        for end in (controller, front):
            end.channel.close()
        controller.channel.send(Detach(1), (os.dup(0),))  # on a closed channel: nothing, and no leak

    run(scenario)


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff",
        b"\x80",
        msgspec.msgpack.encode({"type": "detach", "worker": "x"}),
        b"x" * (MAX_PACKET_BYTES + 1),
    ],
)
def test_a_bad_packet_closes_the_channel_with_a_reason(packet: bytes) -> None:
    async def scenario() -> None:
        ours, theirs = packet_pair()
        end = End(ours, ToFront)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, os.dup(0).to_bytes(4, "little"))
        theirs.sendmsg([packet], [rights])
        os.close(int.from_bytes(rights[2], "little"))
        await until(lambda: end.closed)
        assert end.closed[0]
        assert not end.got
        theirs.close()

    run(scenario)


def test_what_a_peer_said_before_it_died_is_heard() -> None:
    async def scenario() -> None:
        ours, theirs = packet_pair()
        end = End(ours, FromFront)
        theirs.send(msgspec.msgpack.encode(Detached(1)))
        theirs.close()
        end.channel.send(Detach(2))
        await until(lambda: end.closed)
        assert end.got == [(Detached(1), ())]
        assert end.closed == [""]

    run(scenario)
