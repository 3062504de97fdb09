from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.workers import frames
from gateway.workers.arena import Arena
from gateway.workers.call_frames import Piece
from gateway.workers.call_memory import MAX_LENT, LentMemory
from gateway.workers.frames import Kind, ProtocolViolation

SIZE = 256 << 10
PIECE = Piece(DType.UINT8, (SIZE,), bytes(range(256)) * 1024)


class Ends:
    """A memory whose frames are kept as (kind, segment, whether with a descriptor)."""

    def __init__(self, size: int = 2 * SIZE) -> None:
        self.arena = Arena(size, 0)
        self.sent: list[tuple[Kind, int, bool]] = []
        self.memory = LentMemory(self.arena, 1, self.send)

    def send(self, frame: bytes, fd: int | None) -> None:
        header = frames.unpack_header(frame, len(frame), 1)
        self.sent.append((header.kind, header.detail, fd is not None))


def test_what_travels_inline_takes_no_room() -> None:
    ends = Ends()
    assert ends.memory.place([PIECE, PIECE], [True, True]) == [None, None]
    assert ends.sent == []


def test_a_segment_is_announced_lent_and_forgotten() -> None:
    ends = Ends()
    ((number, offset),) = [place for place in ends.memory.place([PIECE], [False]) or () if place]
    assert offset == 0
    assert ends.sent == [(Kind.SEGMENT, number, True)]
    assert ends.arena.statistics().free_bytes == 0
    ends.memory.release(number)
    assert ends.sent[1:] == [(Kind.FORGET, number, False)]
    with pytest.raises(ProtocolViolation, match="not lent"):
        ends.memory.release(number)


def test_without_room_nothing_is_lent() -> None:
    ends = Ends()
    assert ends.memory.place([PIECE] * 3, [False] * 3) is None
    assert ends.arena.statistics().total_bytes == 0
    places = ends.memory.place([PIECE] * 2, [False] * 2)
    assert places is not None
    ends.memory.take_back([None, *places])
    assert ends.arena.statistics().total_bytes == 0


def test_no_more_segments_are_lent_than_the_other_end_maps() -> None:
    ends = Ends(2 * MAX_LENT * SIZE)
    most = ends.memory.place([PIECE._replace(data=b"x")] * MAX_LENT, [False] * MAX_LENT)
    assert most is not None
    assert ends.memory.place([PIECE], [True]) == [None]
    assert ends.memory.place([PIECE], [False]) is None
    ends.memory.take_back(most[:1])
    assert ends.memory.place([PIECE], [False]) is not None
    ends.memory.close()
    ends.arena.close()


def test_the_end_of_the_channel_gives_everything_back() -> None:
    ends = Ends()
    ends.memory.place([PIECE] * 2, [False] * 2)
    ends.sent.clear()
    ends.memory.close()
    assert ends.arena.statistics().total_bytes == 0
    assert ends.sent == []
