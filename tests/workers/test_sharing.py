from __future__ import annotations

import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import Overloaded
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.workers.arena import Arena
from gateway.workers.plans import RunPlan, Signature
from gateway.workers.sharing import REFERENCE_BYTES, Shared

MIB = 1 << 20


def plan_for(*sizes: int) -> RunPlan:
    spec = ModelSpec("m", 1, "", "", tuple(TensorSpec("A", DType.UINT8, (-1,)) for _ in sizes), ())
    return RunPlan(spec, Signature(tuple((DType.UINT8, (size,)) for size in sizes), ()), 1)


def test_small_inputs_travel_inline() -> None:
    arena = Arena(4 * MIB)
    shared = Shared(arena)
    assert shared.place(plan_for(100, 60_000), [[bytes(100)], [bytes(60_000)]], [100, 60_000]) == [None, None]
    assert arena.statistics().segments == 0


def test_what_lies_in_the_arena_is_referred_to_and_held() -> None:
    arena = Arena(4 * MIB)
    view, lease = arena.allocate(MIB) or pytest.fail("no room")
    shared = Shared(arena)
    size = REFERENCE_BYTES
    assert shared.place(plan_for(size), [[view[64 : 64 + size]]], [size]) == [(lease.segment.number, 64)]
    assert lease.holds == 2
    shared.release()
    assert lease.holds == 1
    # Two buffers are not one, wherever they lie: they are copied one after the other.
    view[:2] = b"ab"
    places = Shared(arena).place(plan_for(MIB + 1), [[view, b"z"]], [MIB + 1])
    assert places != [(lease.segment.number, 0)]


def test_large_parts_are_copied_once_one_after_the_other() -> None:
    arena = Arena(4 * MIB)
    shared = Shared(arena)
    parts = [b"a" * 100_000, memoryview(b"b" * 100_000)]
    assert shared.place(plan_for(200_000), [parts], [200_000]) == [(shared.segments[0].number, 0)]
    assert shared.segments[0].memory[:200_000] == b"".join(parts)
    shared.release()
    assert arena.statistics().free_bytes == arena.statistics().total_bytes


def test_without_room_nothing_stays_held() -> None:
    arena = Arena(MIB)
    view, lease = arena.allocate(MIB) or pytest.fail("no room")
    with pytest.raises(Overloaded):
        Shared(arena).place(plan_for(MIB, MIB), [[view], [bytes(MIB)]], [MIB, MIB])
    assert lease.holds == 1
