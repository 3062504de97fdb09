"""Finds the knee of a server, stays there, and comes back after a slow phase."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.limits.gradient import Gradient, Sample, State

GRADIENT = Gradient(4.0, 200.0, 20.0, 4.0, 0.2, 1.5, 1.0, 10, 60)
WORK_S = 0.05


class Server:
    """Works on `at_once` requests, each about WORK_S * `slowness`; the others wait their turn."""

    def __init__(self, at_once: int, seed: int) -> None:
        self.at_once = at_once
        self.slowness = 1.0
        self.chance = random.Random(seed)
        self.now = 0.0
        self.state: State = GRADIENT.begun()

    def run(self, for_s: float, *, offered: int = 10_000) -> list[float]:
        """The limits at the end of each second, where up to `offered` callers always want something.

        By Little's law: n in at a time take max(1, n / at_once) times the work.
        """
        limits = []
        for _ in range(int(for_s)):
            inside = min(offered, max(int(self.state.limit), 1))
            latency_s = WORK_S * self.slowness * max(1.0, inside / self.at_once)
            ended = max(int(inside / latency_s), 1)
            for number in range(ended):
                spent_s = latency_s * self.chance.uniform(0.7, 1.3)
                at = self.now + (number + 1) / ended
                self.state = GRADIENT.update(at, self.state, Sample(spent_s, inside))
            self.now += 1.0
            limits.append(self.state.limit)
        return limits


@pytest.mark.parametrize("at_once", [8, 16, 32, 64])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_limit_settles_near_the_knee(at_once: int, seed: int) -> None:
    server = Server(at_once, seed)
    server.run(300)
    settled = server.run(100)
    assert at_once <= min(settled)
    # The tolerance times the knee, and the queue.
    assert max(settled) <= 2.0 * max(at_once, 20) + 8


def test_an_overload_of_hours_does_not_become_the_usual() -> None:
    server = Server(16, 1)
    early = server.run(600)[-1]
    assert server.run(3600, offered=10_000)[-1] == pytest.approx(early, rel=0.25)


@pytest.mark.parametrize("began", range(200, 232, 3))
def test_a_slow_phase_brings_it_down_and_its_end_up_again(began: int) -> None:
    server = Server(32, 7)
    before = max(server.run(began)[-5:])
    server.slowness = 8.0
    assert min(server.run(30)) < before / 2
    server.slowness = 1.0
    assert max(server.run(60)[-5:]) > 0.8 * before


@pytest.mark.parametrize("slowness", [1.7, 2.5, 4.0, 10.0])
def test_a_model_that_is_slower_for_good_is_learnt(slowness: float) -> None:
    server = Server(32, 7)
    server.run(200)
    server.slowness = slowness
    server.run(300)
    settled = server.run(100)
    assert max(settled) >= 32
    assert max(settled) <= 2.0 * 32 + 8
    assert slowness * WORK_S * 0.6 < server.state.long_s < slowness * WORK_S * 1.3


def test_the_trial_costs_an_overloaded_server_no_throughput() -> None:
    server = Server(16, 1)
    server.run(200)
    limits = server.run(100)
    assert any(after < 0.8 * before for before, after in pairwise(limits))
    assert min(limits) >= 16


def test_a_window_that_did_not_fill_the_limit_is_no_pressing() -> None:
    server = Server(16, 1)
    server.run(60)
    while not server.state.pressed:
        server.run(1)
    server.run(3, offered=3)
    assert server.state.pressed == 0


def test_a_limit_that_nobody_fills_stays() -> None:
    server = Server(32, 1)
    server.run(50, offered=9)
    assert server.state.limit == GRADIENT.initial
    assert server.state.long_s == pytest.approx(WORK_S, rel=0.1)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 2.0), st.floats(0.0, 100.0), st.integers(0, 500), st.booleans()),
        max_size=300,
    )
)
def test_the_limit_stays_within_its_bounds(samples: list[tuple[float, float, int, bool]]) -> None:
    now, state = 0.0, GRADIENT.begun()
    for pause, spent_s, in_flight, is_at_least in samples:
        now += pause
        state = GRADIENT.update(now, state, Sample(spent_s, in_flight, is_at_least))
        assert GRADIENT.minimum <= state.limit <= GRADIENT.maximum
        assert state.long_s >= 0.0


def test_the_limit_changes_at_the_end_of_a_window_with_enough_samples() -> None:
    state = GRADIENT.begun()
    for number in range(9):
        state = GRADIENT.update(5.0 + number, state, Sample(WORK_S, 20))
    assert (state.limit, state.windows, state.samples) == (20.0, 0, 9)
    state = GRADIENT.update(20.0, state, Sample(WORK_S, 20))
    assert (state.limit, state.windows, state.samples) == (pytest.approx(20.8), 1, 0)


def test_callers_without_patience_do_not_make_it_look_fast() -> None:
    server = Server(16, 1)
    server.run(100)
    state, short_s = server.state, server.state.short_s
    for number in range(100):
        state = GRADIENT.update(200.0 + number / 10, state, Sample(1e-6, 20, is_at_least=True))
    assert state.short_s == pytest.approx(short_s, rel=0.05)
    for number in range(100):
        state = GRADIENT.update(300.0 + number / 10, state, Sample(10.0, 20, is_at_least=True))
    assert state.short_s > 5.0
