from __future__ import annotations

import select

import pytest

from gateway.cli.bench.timer import Timer
from gateway.core.clock import monotonic_s


@pytest.mark.parametrize("delay_s", [-1.0, 0.0, 0.0007, 0.02])
def test_wakes_epoll_at_the_time_and_not_before(delay_s: float) -> None:
    timer = Timer()
    with select.epoll() as epoll:
        epoll.register(timer.fd, select.EPOLLIN | select.EPOLLET)
        for _ in range(2):  # edge-triggered: armed again without having been read
            due = monotonic_s() + delay_s
            timer.arm(due)
            assert epoll.poll(5.0) == [(timer.fd, select.EPOLLIN)]
            assert monotonic_s() >= due
        assert epoll.poll(0.0) == []
    timer.close()
