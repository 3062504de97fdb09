"""WorkerLink against a worker that lies: the other end of its socket is the test itself."""

from __future__ import annotations

import gc
import os
import socket
from array import array
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.errors import InstanceDied
from gateway.core.model import ModelSpec
from gateway.core.tensor import serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.workers import frames, segments
from gateway.workers.arena import Arena
from gateway.workers.channel import ReplyLease, WorkerLink
from gateway.workers.frames import HEADER, HEADER_BYTES, Failure, Kind, ProtocolViolation, Region, Table
from gateway.workers.links import Link, LinkListener
from gateway.workers.plans import Signature
from gateway.workers.transport import receive_segment
from tests.fakes.forked_worker import Answers, PollLoop

GENERATION = 7
MIB = 1 << 20
SPEC = ModelSpec(
    "m",
    1,
    "",
    "",
    (TensorSpec("X", DType.FP32, (-1,)),),
    (
        TensorSpec("Y", DType.FP32, (2,)),
        TensorSpec("TEXT", DType.BYTES, (1,)),
        TensorSpec("Z", DType.UINT8, (-1,)),
    ),
    max_batch_size=8,
)
ONE = Signature(((DType.FP32, (3,)),), (0,))
TEXT = Signature(((DType.FP32, (3,)),), (1,))
FREE = Signature(((DType.FP32, (3,)),), (2,))


def open_descriptors() -> int:
    gc.collect()  # what earlier tests left is not this one's
    return len(os.listdir("/proc/self/fd"))


class Liar:
    """A worker's end: takes RUN frames apart and sends whatever a test wants."""

    def __init__(self, spec: ModelSpec = SPEC) -> None:
        ours, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(30)
        self.arena = Arena(64 * MIB)
        self.loop = PollLoop()
        self.answers = Answers()
        self.link = WorkerLink(ours, 3, GENERATION, spec, self.arena, self.loop, self.answers)

    def take(self) -> tuple[frames.Header, Table, bytes]:
        frame = self.sock.recv(frames.MAX_FRAME_BYTES)
        header = frames.unpack_header(frame, len(frame), GENERATION)
        return header, frames.unpack_table(frame[HEADER_BYTES : header.payload], header.total), frame

    def send(self, frame: bytes, *fds: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        self.sock.sendmsg([frame], rights)

    def turn(self) -> Answers:
        self.loop.turn(1.0)
        return self.answers

    def close(self) -> None:
        self.link.close()
        self.sock.close()
        self.arena.close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.close()


def reply(
    batch: int,
    *outputs: tuple[int, DType, tuple[int, ...], Any],
    rows: int = 2,
    generation: int = GENERATION,
    kind: Kind = Kind.REPLY,
) -> bytes:
    """A REPLY or PART of outputs (ordinal, dtype, shape, data or (segment, offset, size))."""
    payload = HEADER_BYTES + frames.table_bytes([len(shape) for _, _, shape, _ in outputs], 0)
    inline = [data for *_, data in outputs if not isinstance(data, tuple)]
    offsets, total = frames.lay_out(payload, [len(data) for data in inline])
    following = iter(offsets)
    regions = tuple(
        Region(ordinal, dtype, shape, *(data if isinstance(data, tuple) else (0, next(following), len(data))))
        for ordinal, dtype, shape, data in outputs
    )
    word = frames.header_word(kind, generation)
    frame = HEADER.pack(word, batch, total, payload, 20, 10, 30, 0, 0)
    frame += frames.pack_table(Table(rows, regions, ()))
    for data, pad in zip(inline, frames.pads(payload, [len(data) for data in inline]), strict=True):
        frame += data + pad
    return frame


Y = (0, DType.FP32, (2, 2), bytes(range(16)))


def run(liar: Liar, batch: int, signature: Signature = ONE, rows: int = 2) -> None:
    liar.link.send(batch, rows, signature, [[b"a" * 12] * rows])


def test_it_is_a_link() -> None:
    link: type[Link] = WorkerLink
    listener: LinkListener = Answers()
    assert link is WorkerLink
    assert listener


def test_a_batch_goes_out_in_one_frame_and_its_reply_comes_back(liar: Liar) -> None:
    for batch in (1, 2):  # the second time from what was remembered
        liar.link.send(batch, 2, ONE, [[b"first row...", memoryview(b"second row..")]])
        assert liar.link.in_flight == 1
        header, table, frame = liar.take()
        assert (header.kind, header.batch, table.rows, table.outputs) == (Kind.RUN, batch, 2, (0,))
        assert frame[header.payload :] == b"first row...second row.."
        liar.send(reply(batch, Y))
        assert liar.turn().replies[batch] == (((2, 2), Y[3]),)
        assert liar.answers.timings[batch] == (10, 20, 30)
        assert liar.answers.leases[batch] is None
        assert liar.link.in_flight == 0


def test_several_answers_are_taken_in_one_turn_in_any_order(liar: Liar) -> None:
    for batch in range(10):
        run(liar, batch)
    for batch in reversed(range(10)):
        liar.send(
            reply(batch, Y) if batch % 2 else frames.pack_error(GENERATION, batch, Failure.BAD_INPUT, "no")
        )
    answers = liar.turn()
    assert sorted(answers.replies) == [1, 3, 5, 7, 9]
    assert answers.errors == dict.fromkeys(range(0, 10, 2), (Failure.BAD_INPUT, "no"))
    assert not answers.lost


def test_bytes_outputs_are_walked(liar: Liar) -> None:
    good = serialise_bytes_elements([b"one", b"two"])
    run(liar, 1, TEXT)
    liar.send(reply(1, (1, DType.BYTES, (2, 1), good)))
    assert liar.turn().replies[1] == (((2, 1), good),)
    for batch, bad in ((2, good[:-1]), (3, good + b"\0" * 4), (4, b"\xff" * len(good))):
        run(liar, batch, TEXT)
        liar.send(reply(batch, (1, DType.BYTES, (2, 1), bad)))
        assert liar.turn().errors[batch][0] is Failure.MODEL_FAILED
    assert len(liar.answers.suspicions) == 3


@pytest.mark.parametrize(
    "lie",
    [
        (),
        (Y, Y),
        ((1, *Y[1:]),),
        ((0, DType.FP64, (2, 2), bytes(32)),),
        ((0, DType.FP32, (2, 3), bytes(24)),),
        ((0, DType.FP32, (1, 2), bytes(8)),),
        ((0, DType.FP32, (4,), bytes(16)),),
    ],
)
def test_a_reply_against_the_signature_fails_the_batch_and_is_suspect(liar: Liar, lie: Any) -> None:
    run(liar, 1)
    liar.send(reply(1, *lie))
    answers = liar.turn()
    assert answers.errors[1][0] is Failure.MODEL_FAILED
    assert len(answers.suspicions) == 1
    run(liar, 2)  # the link goes on
    liar.take()
    liar.send(reply(2, Y))
    assert 2 in liar.turn().replies


good = reply(1, Y)


@pytest.mark.parametrize(
    "frame",
    [
        reply(2, Y),
        reply(1, Y, generation=8),
        good[:-1],
        good + b"x",
        good[:HEADER_BYTES],
        good[:20],
        b"x",
        b"GET / HTTP/1.1\r\n\r\n",
        frames.pack_error(GENERATION, 9, Failure.FATAL, "of another batch"),
        frames.pack_control(Kind.FORGET, GENERATION, 5),
        frames.pack_control(Kind.RELEASE, GENERATION, 5),
        frames.pack_control(Kind.SEGMENT, GENERATION, 5),
        reply(1, (0, DType.FP32, (2, 2), (5, 0, 16))),
    ],
)
def test_a_frame_against_the_protocol_costs_the_link_once(liar: Liar, frame: bytes) -> None:
    run(liar, 1)
    run(liar, 5)
    liar.send(frame)
    answers = liar.turn()
    assert [sorted(batches) for _, batches in answers.lost] == [[1, 5]]
    assert not answers.replies
    assert not liar.loop.readers
    assert liar.sock.recv(1 << 17)  # what was sent before
    liar.sock.recv(1 << 17)
    assert liar.sock.recv(1 << 17) == b""
    with pytest.raises(InstanceDied):
        run(liar, 6)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_reply_is_never_taken_for_another(data: st.DataObject) -> None:
    liar = Liar()
    try:
        run(liar, 1)
        frame = bytearray(good)
        payload = frames.unpack_header(good, len(good), GENERATION).payload
        for _ in range(data.draw(st.integers(1, 3))):
            frame[data.draw(st.integers(0, payload - 1))] = data.draw(st.integers(0, 255))
        liar.send(bytes(frame))
        answers = liar.turn()
        if answers.replies:
            assert answers.replies == {1: (((2, 2), Y[3]),)}
        elif answers.errors:
            assert list(answers.errors) == [1]
        else:
            assert answers.lost == [(answers.lost[0][0], (1,))]
    finally:
        liar.close()


def test_a_dead_worker_is_told_once_with_its_batches(liar: Liar) -> None:
    run(liar, 1)
    run(liar, 2)
    liar.sock.close()
    run(liar, 3)
    answers = liar.turn()
    assert [batches for _, batches in answers.lost] == [(1, 2, 3)]
    liar.link.close()
    assert len(answers.lost) == 1


def test_closing_is_silent(liar: Liar) -> None:
    run(liar, 1)
    liar.link.close()
    assert liar.answers.lost == []
    assert liar.sock.recv(1 << 17)
    assert liar.sock.recv(1 << 17) == b""


def test_parts_of_the_wrong_size_are_never_sent(liar: Liar) -> None:
    with pytest.raises(ProtocolViolation):
        liar.link.send(1, 2, ONE, [[b"short"]])
    assert liar.link.in_flight == 0
    run(liar, 2)
    assert liar.take()[0].batch == 2


# ---- shared memory ------------------------------------------------------------------------------


def lend(liar: Liar, size: int = MIB, number: int = 1) -> tuple[int, Any]:
    """Passes a segment of the worker's to the front."""
    fd, memory = segments.create(size)
    liar.send(frames.pack_control(Kind.ANNOUNCE, GENERATION, number, size))
    liar.send(frames.pack_control(Kind.SEGMENT, GENERATION, number, size), fd)
    return fd, memory


def test_large_inputs_are_passed_by_reference_and_held_until_answered(liar: Liar) -> None:
    view, lease = liar.arena.allocate(MIB, 100) or pytest.fail("no room")
    view[100] = 55
    large = Signature(((DType.FP32, (4096 * 4,)),), (0,))
    liar.link.send(1, 1, large, [[view[100 : 100 + 65536]]])
    assert lease.holds == 2
    assert frames.unpack_header(liar.sock.recv(4096), 48, GENERATION).kind is Kind.ANNOUNCE
    _, fds, _, _ = socket.recv_fds(liar.sock, 4096, 4)
    _, table, frame = liar.take()
    region = table.tensors[0]
    assert (region.segment, region.size, len(frame) < 200) == (lease.segment.number, 65536, True)
    assert os.pread(fds[0], 1, region.offset) == b"\x37"
    liar.send(reply(1, (0, DType.FP32, (1, 2), bytes(8)), rows=1))
    assert 1 in liar.turn().replies
    assert lease.holds == 1
    lease.release()
    liar.arena.trim()
    assert frames.unpack_header(liar.sock.recv(4096), 48, GENERATION).kind is Kind.FORGET
    os.close(fds[0])


def test_holds_end_with_the_link(liar: Liar) -> None:
    large = Signature(((DType.FP32, (MIB,)),), (0,))
    liar.link.send(1, 1, large, [[bytes(4 * MIB)]])
    assert liar.arena.statistics().free_bytes == 0
    liar.sock.close()
    liar.turn()
    assert liar.arena.statistics().free_bytes == 4 * MIB


def test_large_outputs_are_views_until_released(liar: Liar) -> None:
    fd, memory = lend(liar)
    memory[64:67] = b"abc"
    run(liar, 1, FREE)
    liar.take()
    liar.send(reply(1, (2, DType.UINT8, (2, 500_000), (1, 64, 1_000_000))))
    liar.loop.run_until(lambda: liar.answers.replies)
    shape, data = liar.answers.replies[1][0]
    assert (shape, bytes(data[:3]), data.readonly) == ((2, 500_000), b"abc", True)
    lease = liar.answers.leases[1]
    assert lease is not None
    lease.hold()
    lease.release()
    lease.release()
    header = frames.unpack_header(liar.sock.recv(4096), 48, GENERATION)
    assert (header.kind, header.detail) == (Kind.RELEASE, 1)
    liar.send(frames.pack_control(Kind.FORGET, GENERATION, 1))
    liar.turn()
    assert bytes(data[:3]) == b"abc"  # unmapped when the last view is gone, not before
    assert not liar.answers.lost
    os.close(fd)


def test_memory_that_is_still_lent_is_not_taken_again(liar: Liar) -> None:
    fd, _memory = lend(liar)
    run(liar, 1, FREE)
    run(liar, 2, FREE)
    for batch in (1, 2):
        liar.send(reply(batch, (2, DType.UINT8, (2, 500_000), (1, 0, 1_000_000))))
    liar.loop.run_until(lambda: liar.answers.lost)
    assert list(liar.answers.replies) == [1]
    assert liar.answers.lost[0][1] == (2,)
    lease = liar.answers.leases[1]
    assert lease is not None
    lease.release()  # after the end of the link it says nothing to anybody
    os.close(fd)


@pytest.mark.parametrize(
    "region", [(1, 0, MIB + 2), (1, MIB - 10, 1_000_000), (2, 0, 1_000_000), (1, 1 << 61, 1_000_000)]
)
def test_a_region_outside_its_segment_costs_the_link(liar: Liar, region: tuple[int, int, int]) -> None:
    fd, _memory = lend(liar)
    run(liar, 1, FREE)
    liar.send(reply(1, (2, DType.UINT8, (2, region[2] // 2), region)))
    liar.loop.run_until(lambda: liar.answers.lost)
    assert liar.answers.lost[0][1] == (1,)
    os.close(fd)


def test_an_unsealed_segment_costs_the_link_and_no_descriptor(liar: Liar) -> None:
    run(liar, 1)
    fd = os.memfd_create("unsealed")
    os.ftruncate(fd, MIB)
    before = open_descriptors()
    liar.send(frames.pack_control(Kind.ANNOUNCE, GENERATION, 1, MIB))
    liar.send(frames.pack_control(Kind.SEGMENT, GENERATION, 1, MIB), fd)
    liar.loop.run_until(lambda: liar.answers.lost)
    assert open_descriptors() == before - 1  # the link's own socket
    os.close(fd)


def test_a_flood_of_segments_is_bounded(liar: Liar) -> None:
    run(liar, 1)
    before = open_descriptors()
    for number in range(1, 66):  # one more than may be
        fd, memory = lend(liar, 4096, number)
        os.close(fd)
        memory.close()
        liar.loop.turn()
    liar.loop.run_until(lambda: liar.answers.lost)
    assert open_descriptors() < before


def test_a_reply_lease_is_counted() -> None:
    calls: list[int] = []
    lease = ReplyLease(lambda: calls.append(1))
    lease.release()
    assert calls == [1]
    for again in (lease.release, lease.hold):
        with pytest.raises(ValueError, match="given back"):
            again()


# ---- streams ------------------------------------------------------------------------------------


@pytest.fixture
def streamer() -> Iterator[Liar]:
    made = Liar(msgspec.structs.replace(SPEC, decoupled=True))
    yield made
    made.close()


def part(batch: int, *outputs: Any, **more: Any) -> bytes:
    return reply(batch, *(outputs or (Y,)), kind=Kind.PART, **more)


def end(batch: int) -> bytes:
    return frames.pack_stream(Kind.END, GENERATION, batch, 77)


def heard(liar: Liar) -> frames.Header:
    frame = liar.sock.recv(frames.MAX_FRAME_BYTES)
    return frames.unpack_header(frame, len(frame), GENERATION)


def test_parts_come_until_the_end(streamer: Liar) -> None:
    run(streamer, 1)
    streamer.take()
    for _ in range(3):
        streamer.send(part(1))
    assert streamer.turn().parts[1] == [(((2, 2), Y[3]),)] * 3
    assert streamer.link.in_flight == 1
    streamer.send(end(1))
    assert streamer.turn().ends == {1: 77}
    assert streamer.link.in_flight == 0


def test_the_last_part_may_be_a_reply_and_an_error_an_end(streamer: Liar) -> None:
    for batch in (1, 2):
        run(streamer, batch)
        streamer.send(part(batch))
    streamer.send(reply(1, Y))
    streamer.send(frames.pack_error(GENERATION, 2, Failure.MODEL_FAILED, "x"))
    answers = streamer.turn()
    assert (list(answers.replies), list(answers.errors), streamer.link.in_flight) == ([1], [2], 0)


def fault(batch: int, text: str = "x") -> bytes:
    return frames.pack_fault(GENERATION, batch, Failure.BAD_INPUT, text)


def test_a_fault_stands_in_place_of_a_part(streamer: Liar) -> None:
    run(streamer, 1)
    for frame in (part(1), fault(1), part(1)):
        streamer.send(frame)
    outputs = (((2, 2), Y[3]),)
    assert streamer.turn().parts[1] == [outputs, (Failure.BAD_INPUT, "x"), outputs]
    assert streamer.link.in_flight == 1
    while not streamer.answers.lost:
        assert len(streamer.answers.parts[1]) <= frames.STREAM_WINDOW_BYTES // frames.part_cost(0)
        streamer.send(fault(1))
        streamer.turn()
    assert streamer.answers.lost == [("the worker broke the protocol: more parts than were granted", (1,))]


def test_grants_and_stops_go_out_while_the_stream_lasts(streamer: Liar) -> None:
    run(streamer, 1)
    streamer.take()
    streamer.link.grant(1, 5000)
    streamer.link.stop(1)
    found = [heard(streamer), heard(streamer)]
    assert [(one.kind, one.batch, one.a) for one in found] == [(Kind.CREDIT, 1, 5000), (Kind.CANCEL, 1, 0)]
    streamer.send(end(1))
    streamer.turn()
    streamer.link.grant(1, 5000)
    streamer.link.stop(1)
    streamer.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        streamer.sock.recv(1)


def test_more_than_was_granted_costs_the_link(streamer: Liar) -> None:
    run(streamer, 1, FREE)
    big = (2, DType.UINT8, (2, 50_000), bytes(100_000))
    needed = -(-frames.STREAM_WINDOW_BYTES // frames.part_cost(100_000))
    for _ in range(needed):
        streamer.send(part(1, big))
        assert streamer.turn().lost == []
    streamer.link.grant(1, frames.part_cost(100_000))
    streamer.send(part(1, big))
    assert streamer.turn().lost == []
    streamer.send(part(1, big))
    assert streamer.turn().lost == [("the worker broke the protocol: more parts than were granted", (1,))]


def test_a_part_against_the_signature_fails_the_stream_and_is_suspect(streamer: Liar) -> None:
    run(streamer, 1)
    streamer.send(part(1, (0, DType.FP64, (2, 2), bytes(32))))
    answers = streamer.turn()
    assert answers.errors[1][0] is Failure.MODEL_FAILED
    assert len(answers.suspicions) == 1
    assert streamer.link.in_flight == 0


def test_parts_in_shared_memory_are_lent_one_by_one(streamer: Liar) -> None:
    fd, _ = lend(streamer)
    run(streamer, 1, FREE)
    streamer.send(part(1, (2, DType.UINT8, (2, 8), (1, 0, 16))))
    lease = streamer.turn().leases[1]
    assert lease is not None
    streamer.take()
    lease.release()
    assert heard(streamer).kind is Kind.RELEASE
    os.close(fd)


@pytest.mark.parametrize(
    "frame",
    [
        part(2),
        fault(2),
        fault(1, "y" * 600)[:-1],
        end(2),
        end(1)[:-1] + b"\1",
        part(1)[:-16],
        frames.pack_stream(Kind.CREDIT, GENERATION, 1, 1),
        frames.pack_stream(Kind.CANCEL, GENERATION, 1),
    ],
)
def test_a_frame_against_the_protocol_of_streams_costs_the_link(streamer: Liar, frame: bytes) -> None:
    run(streamer, 1)
    streamer.send(frame)
    ((reason, batches),) = streamer.turn().lost
    assert reason.startswith("the worker broke the protocol")
    assert batches == (1,)


@pytest.mark.parametrize("frame", [part(1), fault(1), end(1)])
def test_a_model_that_answers_once_has_no_streams(liar: Liar, frame: bytes) -> None:
    run(liar, 1)
    liar.send(frame)
    assert "several answers of a model that gives one" in liar.turn().lost[0][0]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_part_is_never_taken_for_another(data: st.DataObject) -> None:
    liar = Liar(msgspec.structs.replace(SPEC, decoupled=True))
    try:
        run(liar, 1)
        frame = bytearray(part(1))
        at = data.draw(st.integers(0, len(frame) - len(Y[3]) - 1))
        frame[at] ^= data.draw(st.integers(1, 255))
        liar.send(bytes(frame))
        answers = liar.turn()
        for outputs in answers.parts.get(1, []):
            assert outputs == (((2, 2), Y[3]),)
    finally:
        liar.close()


# ---- calls --------------------------------------------------------------------------------------


class Calls:
    """The front's end of a channel for calls."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_the_worker_is_given_its_end_of_a_channel_for_calls(liar: Liar) -> None:
    calls = Calls()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            liar.link.open_calls(calls, theirs.fileno())
        announced = frames.unpack_header(liar.sock.recv(100), HEADER_BYTES, GENERATION)
        assert announced.kind is Kind.CALLS
        number, fd, _ = receive_segment(liar.sock, memoryview(bytearray(1000)), GENERATION)
        with socket.socket(fileno=fd) as got:
            got.send(b"hello")
        assert (number, ours.recv(10)) == (1, b"hello")
    assert calls.closed == 0
    liar.link.close()
    assert calls.closed == 1


def test_who_breaks_the_protocol_of_calls_loses_the_link(liar: Liar) -> None:
    run(liar, 1)
    liar.link.lose("lied in a call")
    liar.link.lose("lied again")
    assert liar.answers.lost == [("lied in a call", (1,))]
