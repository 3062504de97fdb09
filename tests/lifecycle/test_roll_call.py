"""Waiting for every front."""

from __future__ import annotations

from gateway.lifecycle.roll_call import RollCall


def test_it_ends_when_all_have_answered_or_are_lost() -> None:
    roll, done = RollCall(), list[str]()
    roll.begin(1, [0, 1, 2], lambda: done.append("one"))
    roll.begin(2, [2], lambda: done.append("two"))
    for front in (0, 0, 1):
        roll.answered(1, front)
    roll.answered(7, 0)
    assert (done, 1 in roll) == ([], True)
    roll.check()
    roll.lost(2)
    assert sorted(done) == ["one", "two"]
    assert 1 not in roll
    roll.answered(1, 2)
    assert len(done) == 2


def test_with_nobody_to_wait_for_it_ends_at_once() -> None:
    roll, done = RollCall(), list[str]()
    roll.begin(1, [], lambda: done.append("one"))
    assert done == ["one"]


def test_what_is_dismissed_ends_once() -> None:
    roll, done = RollCall(), list[str]()
    roll.begin(1, [0], lambda: done.append("one"))
    roll.dismiss(1)
    roll.dismiss(1)
    roll.answered(1, 0)
    assert done == ["one"]


def test_a_next_one_may_begin_when_one_ends() -> None:
    roll, done = RollCall(), list[str]()
    roll.begin(1, [0], lambda: roll.begin(1, [1], lambda: done.append("again")))
    roll.lost(0)
    assert 1 in roll
    roll.lost(1)
    assert done == ["again"]
