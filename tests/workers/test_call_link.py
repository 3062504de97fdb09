"""CallLink against a worker that lies: the other end of its socket is the test itself."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.errors import ModelNotFound, Overloaded, TooLarge
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.runtimes.calls import MAX_CALLS
from gateway.workers import call_frames, frames, segments
from gateway.workers.call_frames import Answered, Ended, Piece, Refused
from gateway.workers.frames import HEADER_BYTES, Kind, Region
from tests.fakes.call_ends import GENERATION, MIB, Ends, call_frame, word

DATA = bytes(range(256)) * 1024
LARGE = Piece(DType.UINT8, (len(DATA),), DATA)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def told(ends: Ends) -> tuple[int, call_frames.ToWorker, tuple[Region, ...]]:
    ends.sock.settimeout(5)
    frame = ends.sock.recv(frames.MAX_FRAME_BYTES)
    header = frames.unpack_header(frame, len(frame), GENERATION)
    assert header.kind is Kind.ANSWER
    return header.batch, *call_frames.unpack_answer(header, memoryview(frame))


def told_of_segment(ends: Ends) -> tuple[Kind, int]:
    frame, ancillary, _, _ = ends.sock.recvmsg(frames.MAX_FRAME_BYTES, socket.CMSG_SPACE(4))
    for _, _, data in ancillary:
        os.close(int.from_bytes(data, "little"))
    header = frames.unpack_header(frame, len(frame), GENERATION)
    return header.kind, header.detail


def share(ends: Ends, number: int = 1, data: bytes = DATA) -> None:
    fd, memory = segments.create(len(data))
    memory[:] = data
    ends.send(frames.pack_control(Kind.SEGMENT, GENERATION, number, len(data)), fd)
    os.close(fd)
    memory.close()


def test_a_call_arrives_and_is_answered(ends: Ends) -> None:
    ends.send(call_frame(3, (Piece(DType.INT8, (2,), b"ab"),)))
    ((asked, inputs),) = ends.turn().calls.values()
    assert (asked.model, inputs) == ("m", (Tensor("X0", DType.INT8, (2,), b"ab"),))
    cost = ends.link.answer(3, (Tensor("Y", DType.INT8, (2,), b"cd"),), is_last=True)
    assert cost == frames.part_cost(2)
    number, head, (region,) = told(ends)
    assert (number, head) == (3, Answered(("Y",), True))
    assert region.shape == (2,)


def test_a_call_is_refused_or_ended(ends: Ends) -> None:
    for number in (1, 2):
        ends.send(call_frame(number))
    ends.turn()
    ends.link.refuse(1, ModelNotFound("who?"))
    ends.link.end(2)
    assert told(ends) == (1, Refused(ModelNotFound.reason, "who?"), ())
    assert told(ends) == (2, Ended(), ())


def test_words_about_calls(ends: Ends) -> None:
    ends.send(call_frame(1))
    for frame in (word(Kind.CREDIT, 1, 500), word(Kind.CANCEL, 1), word(Kind.CANCEL, 1)):
        ends.send(frame)
    ends.turn()
    assert (ends.callee.taken, ends.callee.cancelled) == ([(1, 500)], [1])
    assert not ends.broken


def test_large_inputs_lie_in_the_workers_memory_until_released(ends: Ends) -> None:
    ends.callee.keeps = True
    share(ends)
    ends.send(call_frame(1, (LARGE,), ((1, 0),)))
    ((_, inputs),) = ends.turn().calls.values()
    assert inputs[0].data == DATA
    (lease,) = ends.callee.leases
    lease.release()
    ends.sock.settimeout(5)
    assert told_of_segment(ends) == (Kind.RELEASE, 1)
    ends.send(call_frame(2, (LARGE,), ((1, 0),)))
    ends.send(frames.pack_control(Kind.FORGET, GENERATION, 1))
    assert len(ends.turn().calls) == 2
    ends.link.close()
    ends.callee.leases[1].release()
    assert not ends.broken


def test_large_outputs_lie_in_ours_until_released(ends: Ends) -> None:
    ends.send(call_frame(1))
    ends.turn()
    ends.link.answer(1, (Tensor("Y", DType.UINT8, (len(DATA),), DATA),), is_last=True)
    kind, number = told_of_segment(ends)
    _, _, (region,) = told(ends)
    assert (kind, region.segment) == (Kind.SEGMENT, number)
    assert ends.arena.statistics().free_bytes == 0
    ends.send(frames.pack_control(Kind.RELEASE, GENERATION, number))
    ends.turn()
    assert ends.arena.statistics().free_bytes > 0
    ends.arena.trim()
    assert told_of_segment(ends) == (Kind.FORGET, number)


def test_an_answer_without_room_or_too_large_is_not_sent() -> None:
    small = Ends(MIB)
    try:
        small.send(call_frame(1))
        small.turn()
        with pytest.raises(Overloaded, match="no shared memory is left"):
            small.link.answer(1, (Tensor("Y", DType.UINT8, (2 * MIB,), bytes(2 * MIB)),), is_last=True)
        names = [Tensor("Y" * 3000 + str(index), DType.INT8, (0,), b"") for index in range(100)]
        large = Tensor("Z", DType.UINT8, (len(DATA),), DATA)
        with pytest.raises(TooLarge, match="cannot be told to the model that called"):
            small.link.answer(1, [*names, large], is_last=True)
        assert small.arena.statistics().free_bytes == small.arena.statistics().total_bytes
    finally:
        small.close()


def test_texts_are_copied_and_walked(ends: Ends) -> None:
    data = serialise_bytes_elements([b"a", b"bc"])
    ends.send(call_frame(1, (Piece(DType.BYTES, (2,), data),)))
    ((_, inputs),) = ends.turn().calls.values()
    assert inputs[0].data == data
    ends.send(call_frame(2, (Piece(DType.BYTES, (2,), b"\1\0\0\0a" + bytes(3)),)))
    ends.turn()
    assert ends.broken
    assert "malformed BYTES" in ends.broken[0]


@pytest.mark.parametrize(
    ("lies", "text"),
    [
        ([b"short"], "no whole header"),
        ([call_frame(1), call_frame(1)], "under way already"),
        ([call_frame(number) for number in range(MAX_CALLS + 1)], "too many of them"),
        ([call_frame(1, (LARGE,), ((1, 0),))], "outside every announced segment"),
        ([frames.pack_control(Kind.RELEASE, GENERATION, 1)], "not lent"),
        ([frames.pack_control(Kind.FORGET, GENERATION, 1)], "unknown segment"),
        ([frames.pack_control(Kind.SEGMENT, GENERATION, 1, 5)], "0 descriptors"),
        ([frames.pack_control(Kind.RUN, GENERATION, 1)], "a RUN frame from a worker"),
        ([word(Kind.CREDIT, 1)[:40]], "no whole header"),
        ([frames.pack_control(Kind.CANCEL, GENERATION, 1)], "a malformed CANCEL"),
    ],
)
def test_whoever_breaks_the_protocol_loses_the_link(ends: Ends, lies: list[bytes], text: str) -> None:
    for frame in lies:
        ends.send(frame)
        ends.turn()
    assert len(ends.broken) == 1
    assert text in ends.broken[0]
    assert ends.callee.closed == 1
    assert not ends.loop.readers


def test_memory_in_use_cannot_be_called_with_again(ends: Ends) -> None:
    ends.callee.keeps = True
    share(ends)
    for number in (1, 2):
        ends.send(call_frame(number, (LARGE,), ((1, 0),)))
    ends.turn()
    assert "still holds another one's inputs" in ends.broken[0]


def test_stray_descriptors_are_closed(ends: Ends) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    ends.send(call_frame(1), 1)
    ends.send(frames.pack_control(Kind.SEGMENT, GENERATION, 1, 5), 1)
    ends.turn()
    assert "seals" in ends.broken[0] or "no segment" in ends.broken[0]
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the link's own


def test_one_that_does_not_read_is_not_heard(ends: Ends) -> None:
    """Its answers wait, and its calls wait in the socket; when it reads, both go on."""
    answer = (Tensor("Y", DType.UINT8, (1000,), bytes(1000)),)
    count, answered = 0, 0
    ends.sock.setblocking(False)
    while ends.loop.readers:
        ends.send(call_frame(count := count + 1))
        ends.turn()
        while answered < len(ends.callee.calls):
            ends.link.answer(answered := answered + 1, answer, is_last=True)
    ends.send(call_frame(count + 1))
    assert len(ends.callee.calls) < count + 1
    ends.sock.setblocking(True)
    for number in range(1, answered + 1):
        assert told(ends)[0] == number
        ends.loop.turn()
    ends.loop.run_until(lambda: len(ends.callee.calls) == count + 1)
    assert not ends.broken


def test_a_worker_that_goes_ends_the_channel(ends: Ends) -> None:
    ends.send(call_frame(1))
    ends.turn()
    ends.link.answer(1, (Tensor("Y", DType.UINT8, (len(DATA),), DATA),), is_last=False)
    ends.sock.close()
    ends.turn()
    assert (ends.callee.closed, ends.broken) == (1, [])
    assert ends.arena.statistics().free_bytes > 0
    ends.link.close()
    assert ends.callee.closed == 1


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_bytes_do_more_than_end_the_channel(data: st.DataObject) -> None:
    ends = Ends()
    try:
        frame = bytearray(call_frame(1, (Piece(DType.INT8, (2,), b"ab"),)))
        for _ in range(data.draw(st.integers(0, 3))):
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
        ends.send(bytes(frame[: data.draw(st.sampled_from([len(frame), HEADER_BYTES, 20]))]))
        ends.turn()
        assert len(ends.broken) <= 1
    finally:
        ends.close()
