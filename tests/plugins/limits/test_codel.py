"""Sheds for a queue that stands, not for a burst, and ever faster."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.limits.codel import Codel, Queue, Seen

CODEL = Codel(target_s=0.1, interval_s=0.2)


def standing() -> Queue:
    """A queue that has been known to stand at 0.2."""
    return CODEL.measured(0.2, CODEL.measured(0.0, Queue(), 0.5), 0.5)


def is_shed(now: float, queue: Queue, steps: int = 0) -> bool:
    return CODEL.decide(now, queue, steps)[0]


@pytest.mark.parametrize(
    ("waits", "stands"),
    [
        ([], False),
        ([(0.0, 9.0)], False),  # one wait is no interval
        ([(0.0, 0.2), (0.19, 0.2)], False),
        ([(0.0, 0.2), (0.2, 0.2)], True),
        ([(0.0, 0.2), (0.1, 0.09), (0.2, 0.2)], False),  # it was empty once
        ([(0.0, 0.2), (0.1, 0.09), (0.15, 0.2), (0.35, 0.2)], True),
        ([(0.0, 0.2), (0.2, 0.2), (0.3, 0.0)], False),
        ([(0.0, 0.2), (3.0, 0.2)], False),  # of the time between nothing is known
    ],
)
def test_a_queue_stands_when_all_waits_of_an_interval_were_long(
    waits: list[tuple[float, float]], stands: bool
) -> None:
    queue, now = Queue(), 0.0
    for now, wait_s in waits:
        queue = CODEL.measured(now, queue, wait_s)
    assert is_shed(now, queue) is stands


def test_sheds_at_the_square_root_schedule() -> None:
    queue, sheds = standing(), []
    for tick in range(20_000):
        now = 0.2 + tick * 1e-3
        queue = CODEL.measured(now, queue, 0.5)
        shed, queue = CODEL.decide(now, queue)
        if shed:
            sheds.append(now)
    expected = [0.2]
    for number in range(1, len(sheds)):
        expected.append(expected[-1] + 0.2 / sqrt(number))
    assert sheds == pytest.approx(expected, abs=2e-3)
    # t/(2 interval^2) a second after t seconds: 12.5 a second more each second.
    assert sum(now > 19.2 for now in sheds) == pytest.approx(12.5 * 19.7, rel=0.05)


def test_one_short_wait_ends_it_and_a_relapse_goes_on_where_it_was() -> None:
    queue = standing()
    for tick in range(1000):
        queue = CODEL.measured(0.2 + tick * 1e-3, queue, 0.5)
        _, queue = CODEL.decide(0.2 + tick * 1e-3, queue)
    shed = queue.shed
    assert shed > 5
    queue = CODEL.measured(1.2, queue, 0.01)
    assert not is_shed(1.2, queue)
    again = CODEL.measured(1.5, CODEL.measured(1.3, queue, 0.5), 0.5)
    assert CODEL.decide(1.5, again)[1].shed == shed - 1
    later = CODEL.measured(9.2, CODEL.measured(9.0, queue, 0.5), 0.5)
    assert CODEL.decide(9.2, later)[1].shed == 1


def test_a_queue_of_which_nothing_is_heard_is_not_shed_for() -> None:
    assert is_shed(2.2, standing())
    assert not is_shed(2.3, standing())


@pytest.mark.parametrize(("behind_s", "steps", "shed"), [(0.0, 0, True), (0.0, 1, False), (0.19, 1, False)])
def test_the_more_urgent_are_spared_while_the_schedule_is_kept(
    behind_s: float, steps: int, shed: bool
) -> None:
    _, begun = CODEL.decide(0.2, standing(), 7)
    assert is_shed(0.2 + behind_s, begun, steps) is shed


def test_the_more_urgent_are_shed_where_shedding_the_lowest_is_not_enough() -> None:
    _, begun = CODEL.decide(0.2, standing(), 7)
    assert [is_shed(0.45, begun, steps) for steps in range(4)] == [True, True, False, False]
    assert [is_shed(0.65, begun, steps) for steps in range(4)] == [True, True, True, False]


@given(st.floats(0.0, 3.0), st.integers(0, 6))
def test_whoever_is_shed_the_less_urgent_would_be_too(after_s: float, steps: int) -> None:
    _, begun = CODEL.decide(0.2, standing(), 7)
    assert is_shed(0.2 + after_s, begun, steps) or not is_shed(0.2 + after_s, begun, steps + 1)


def test_the_lowest_of_late_is_of_two_intervals() -> None:
    seen = Seen().with_one(0.0, 0.2, 3).with_one(0.1, 0.2, 1)
    assert seen.of_late == 3
    seen = seen.with_one(0.25, 0.2, 1)
    assert seen.of_late == 3
    seen = seen.with_one(0.46, 0.2, 1)
    assert seen.of_late == 1
    assert seen.with_one(5.0, 0.2, 2).of_late == 2


class Simulation:
    """A queue served at 100 a second; waits are measured as requests leave it."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.seen = Seen()
        self.waiting: list[float] = []
        self.shed: Counter[int] = Counter()
        self.let_in: Counter[int] = Counter()

    def arrives(self, now: float, priority: int) -> None:
        self.seen = self.seen.with_one(now, CODEL.interval_s, priority)
        shed, self.queue = CODEL.decide(now, self.queue, self.seen.of_late - priority)
        (self.shed if shed else self.let_in)[priority] += 1
        if not shed:
            self.waiting.append(now)

    def serves(self, now: float) -> None:
        if self.waiting:
            self.queue = CODEL.measured(now, self.queue, now - self.waiting.pop(0))


def test_an_overload_of_the_unimportant_costs_the_important_nothing() -> None:
    simulation = Simulation()
    for tick in range(60_000):
        now = tick / 1000.0
        if tick % 10 == 0:
            simulation.serves(now)
        if tick % 7 == 0:  # 143 a second, of which half are priority 1
            simulation.arrives(now, 1 + 3 * (tick // 7 % 2))
    assert simulation.shed[1] == 0
    assert simulation.shed[4] == pytest.approx(60 * 43, rel=0.1)
    assert len(simulation.waiting) < 100  # below a second; without shedding it would be 2,500


def test_a_burst_is_not_shed() -> None:
    simulation = Simulation()
    for tick in range(20_000):
        now = tick / 1000.0
        if tick % 10 == 0:
            simulation.serves(now)
        if tick % 20 == 0:
            simulation.arrives(now, 1)
        if tick % 4000 == 0:  # 15 at once: 150 ms of work, gone within 300
            for _ in range(15):
                simulation.arrives(now, 1)
    assert not simulation.shed
