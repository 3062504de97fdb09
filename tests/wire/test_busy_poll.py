"""A loop that is kept awake, on a clock and a loop that move when told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gateway.wire.busy_poll import BusyPoll
from tests.fakes.loop import FakeClock

SPIN_S = 0.001


class Turns:
    """A loop that counts how often it was kept from sleeping."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.waiting.append(callback)

    def turn(self) -> bool:
        """One turn; False where the loop would have slept."""
        if not self.waiting:
            return False
        self.waiting.popleft()()
        return True


def test_spins_while_requests_come_and_for_a_while_after_the_last() -> None:
    clock, loop, requests = FakeClock(), Turns(), [0]
    poll = BusyPoll(loop, clock, SPIN_S, lambda: requests[0])
    poll.look()
    assert not poll.is_spinning, "nothing has come yet"
    requests[0] = 1
    poll.look()
    poll.look()
    assert len(loop.waiting) == 1, "once, however often it is looked at"
    for _ in range(5):
        clock.now += SPIN_S * 0.9
        requests[0] += 1
        assert loop.turn()
    clock.now += SPIN_S * 0.9
    assert loop.turn()
    clock.now += SPIN_S * 0.2
    assert loop.turn()
    assert not loop.turn(), "the last request is long over"
    assert not poll.is_spinning
    poll.look()
    assert not loop.turn()
    requests[0] += 1
    poll.look()
    assert loop.turn()
