from __future__ import annotations

import pytest

from gateway.wire.http1.body import CountedBody, GatheredBody
from tests.fakes.services import FakeBodyMemory


def test_counts_off_what_belongs_to_it() -> None:
    taken: list[bytes] = []
    body = CountedBody(taken.append, 5)
    assert body.feed(b"..ab", 2) == 4
    assert not body.is_complete
    assert body.feed(b"cdeNEXT") == 3
    assert body.is_complete
    assert b"".join(taken) == b"abcde"


def test_a_piece_that_is_all_body_is_passed_on_uncut() -> None:
    taken: list[bytes] = []
    piece = b"x" * 1000
    CountedBody(taken.append, 5000).feed(piece)
    assert taken[0] is piece


def test_small_ones_are_bytes() -> None:
    body = GatheredBody.small()
    body.add(b"ab")
    body.add(b"c")
    assert body.finish() == (b"abc", None)


def test_large_ones_lie_in_shared_memory() -> None:
    memory = FakeBodyMemory()
    body = GatheredBody.large(5, memory, 3)
    assert not memory.asked
    body.add(b"abc")
    body.add(b"de")
    found, lease = body.finish()
    assert bytes(found) == b"abcde"
    assert lease is memory.leases[0]
    body.drop()
    assert memory.leases[0].holds == 1
    assert memory.asked == [(5, 3)]


@pytest.mark.parametrize("memory", [None, FakeBodyMemory()])
def test_without_room_in_this_process(memory: FakeBodyMemory | None) -> None:
    if memory is not None:
        memory.room = False
    body = GatheredBody.large(5, memory, 0)
    body.add(b"abc")
    body.add(b"de")
    assert body.finish() == (b"abcde", None)


def test_drop_gives_back_once() -> None:
    memory = FakeBodyMemory()
    body = GatheredBody.large(5, memory, 0)
    body.drop()
    body = GatheredBody.large(5, memory, 0)
    body.add(b"a")
    body.drop()
    body.drop()
    assert [lease.holds for lease in memory.leases] == [0]
