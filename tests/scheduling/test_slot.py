from __future__ import annotations

from typing import Any

from gateway.scheduling.slot import Slot, freest


def slot(batches: int) -> Slot:
    link: Any = None
    made = Slot(link)
    made.batches = {number: [] for number in range(batches)}
    return made


def test_the_freest_takes_the_next_batch() -> None:
    slots = [slot(2), slot(1), slot(1)]
    assert freest(slots, 3) is slots[1]
    assert freest(slots, 1) is None
    slots[1].on_idle = lambda: None
    assert freest(slots, 3) is slots[2], "one that leaves takes no more"
    assert freest([], 1) is None
