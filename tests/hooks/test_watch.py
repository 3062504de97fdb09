"""What blocks the loop is ended, and nothing else is."""

from __future__ import annotations

import time

import pytest

from gateway.hooks.watch import Hung, Watch


def test_a_sleep_and_a_loop_are_ended() -> None:
    with Watch(0.02) as watch:
        for number, block in enumerate((lambda: time.sleep(30), spin), 1):
            watch.running = number
            with pytest.raises(Hung):
                block()
            watch.running = 0


def spin() -> None:
    while True:
        pass


def test_calls_that_follow_one_another_are_not_taken_for_one() -> None:
    with Watch(0.02) as watch:
        until = time.perf_counter() + 0.2
        number = 0
        while time.perf_counter() < until:
            number += 1
            watch.running = number
            time.sleep(0.001)
            watch.running = 0


def test_a_signal_that_comes_too_late_ends_nobody() -> None:
    with Watch(0.02) as watch:
        watch._condemned = 7
        watch.running = 8
        watch._end(0, None)
        watch.running = 0
        watch._end(0, None)
        watch.running = 7
        with pytest.raises(Hung):
            watch._end(0, None)
        watch.running = 0
