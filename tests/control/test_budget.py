from __future__ import annotations

import os

from gateway.control.budget import MAX_COUNT, Budget


def test_holders_draw_on_one_number_until_none_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    mine = Budget.of(3)
    theirs = Budget(os.dup(mine.fd))
    assert (mine.take(), theirs.take(), theirs.left()) == (True, True, 1)
    theirs.close()
    assert (mine.take(), mine.take(), mine.left()) == (True, False, 0)
    mine.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_may_be_none_or_very_many() -> None:
    for count in (0, MAX_COUNT):
        budget = Budget.of(count)
        assert budget.left() == count
        assert budget.take() is bool(count)
        budget.close()
