from __future__ import annotations

import gc
import os

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.workers import segments
from gateway.workers.arena import ALIGNMENT, MIN_SEGMENT_BYTES, Arena, ArenaLease, ArenaStatistics

MIB = 1 << 20


def open_descriptors() -> int:
    gc.collect()  # what earlier tests left is not this one's
    return len(os.listdir("/proc/self/fd"))


def allocate(arena: Arena, size: int, offset: int = 0) -> tuple[memoryview, ArenaLease]:
    room = arena.allocate(size, offset)
    assert room is not None
    return room


@pytest.mark.parametrize("offset", [0, 1, 63, 64, 65, 200])
@pytest.mark.parametrize("size", [0, 1, 1000, MIN_SEGMENT_BYTES, MIB + 1])
def test_memory_is_writable_and_aligned_at_the_payload(size: int, offset: int) -> None:
    arena = Arena(16 * MIB)
    view, lease = allocate(arena, size + offset, offset)
    assert len(view) == size + offset
    assert not view.readonly
    if size:
        assert segments.address(view[offset:]) % ALIGNMENT == 0
    lease.release()
    arena.check()
    del view
    arena.close()


def test_a_freed_segment_is_used_again_and_a_held_one_is_not() -> None:
    arena = Arena(16 * MIB)
    _, first = allocate(arena, MIB)
    first.hold()
    first.release()
    _, second = allocate(arena, MIB)
    assert second.segment is not first.segment
    first.release()
    _, third = allocate(arena, MIB)
    assert third.segment is first.segment
    with pytest.raises(ValueError, match="given back"):
        first.release()
    with pytest.raises(ValueError, match="given back"):
        first.hold()
    assert third.holds == 1


def test_the_total_is_bounded_and_free_segments_make_room_for_other_sizes() -> None:
    arena = Arena(4 * MIB, keep_bytes=4 * MIB)
    leases = [allocate(arena, MIB)[1] for _ in range(4)]
    assert arena.allocate(1) is None
    assert arena.allocate(8 * MIB) is None
    for lease in leases[:2]:
        lease.release()
    assert arena.statistics() == ArenaStatistics(segments=4, total_bytes=4 * MIB, free_bytes=2 * MIB)
    assert arena.allocate(2 * MIB) is not None
    arena.check()
    assert arena.statistics() == ArenaStatistics(segments=3, total_bytes=4 * MIB, free_bytes=0)


def test_buffers_are_located_by_where_they_lie() -> None:
    arena = Arena(16 * MIB)
    assert arena.locate(b"elsewhere") is None
    view, lease = allocate(arena, MIB, 10)
    found = arena.locate(view[100:200])
    assert found is not None
    assert found[0] is lease.segment
    found[0].memory[found[1]] = 77
    assert view[100] == 77
    array = np.frombuffer(view[64 - 10 :][:4096], np.float32).reshape(32, 32)
    assert arena.locate(array.data) == (lease.segment, segments.address(array.data) - lease.segment.base)
    for stranger in (b"elsewhere", bytearray(10), view[:0], memoryview(np.zeros(4)).cast("B")):
        assert arena.locate(stranger) is None
    assert arena.locate(view[::2]) is None
    lease.release()
    assert arena.locate(view[100:200]) is None


def test_what_is_destroyed_is_told_and_leaves_no_descriptor() -> None:
    before = open_descriptors()
    arena = Arena(64 * MIB, keep_bytes=MIB)
    gone: list[int] = []
    arena.subscribe(gone.append)
    rooms = [allocate(arena, size) for size in (MIB, 4 * MIB, 2 * MIB)]
    numbers = [lease.segment.number for _, lease in rooms]
    for view, lease in rooms:
        view[0] = 1
        lease.release()
    assert gone == [numbers[1], numbers[2]]
    assert arena.statistics() == ArenaStatistics(segments=1, total_bytes=MIB, free_bytes=MIB)
    arena.unsubscribe(gone.append)
    kept_view = rooms[1][0]
    del rooms, view, lease
    arena.close()
    assert gone == [numbers[1], numbers[2]]
    # The view that outlived its lease keeps the one mapping; it stays readable.
    assert open_descriptors() == before + 1
    assert kept_view[0] == 1
    del kept_view
    assert open_descriptors() == before


def test_a_lease_may_outlive_the_arena() -> None:
    arena = Arena(16 * MIB)
    _, lease = allocate(arena, 10)
    arena.close()
    lease.release()
    assert arena.statistics() == ArenaStatistics(0, 0, 0)


def test_no_descriptors_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(segments, "create", refuse)
    assert Arena(16 * MIB).allocate(10) is None


class Pool(RuleBasedStateMachine):
    """Whatever is held keeps its bytes, and the accounts stay right."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(8 * MIB, keep_bytes=2 * MIB)
        self.held: list[tuple[memoryview, ArenaLease, int]] = []
        self.count = 0

    @rule(size=st.integers(1, 3 * MIB), offset=st.integers(0, 100))
    def allocate(self, size: int, offset: int) -> None:
        room = self.arena.allocate(size, offset)
        if room is not None:
            self.count = (self.count + 1) % 256
            room[0][0] = room[0][-1] = self.count
            self.held.append((*room, self.count))

    @rule(which=st.integers(0, 100))
    def release(self, which: int) -> None:
        if self.held:
            self.held.pop(which % len(self.held))[1].release()

    @rule(keep=st.integers(0, 4 * MIB))
    def trim(self, keep: int) -> None:
        self.arena.trim(keep)

    @invariant()
    def is_sound(self) -> None:
        self.arena.check()
        assert all(view[0] == view[-1] == count for view, _, count in self.held)

    def teardown(self) -> None:
        self.arena.close()


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
