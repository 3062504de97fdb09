"""Backoff and quarantine are functions of times of death."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.workers.restart import (
    Quarantine,
    Restart,
    RestartPolicy,
    after_death,
    backoff,
    policy_of,
    recent,
)
from gateway.workers.settings import WorkerSettings

POLICY = RestartPolicy()


@pytest.mark.parametrize(
    ("failures", "expected"),
    [(0, 0), (1, 0), (2, 0.5), (3, 1), (4, 2), (7, 16), (8, 30), (9, 30), (5000, 30)],
)
def test_waits_double_up_to_the_cap(failures: int, expected: float) -> None:
    assert backoff(failures, POLICY, 0.5) == pytest.approx(expected)


@given(st.integers(2, 100), st.floats(0, 1, exclude_max=True))
def test_waits_are_spread_by_a_fifth(failures: int, random: float) -> None:
    middle = backoff(failures, POLICY, 0.5)
    assert 0.8 * middle <= backoff(failures, POLICY, random) <= 1.2 * middle


def test_the_fifth_death_in_the_window_is_one_too_many() -> None:
    deaths: tuple[float, ...] = ()
    decisions = []
    for now in (0.0, 100.0, 200.0, 300.0, 400.0):
        deaths = (*deaths, now)
        decisions.append(after_death(deaths, now, POLICY, 0.5))
    assert decisions == [Restart(0.0), Restart(0.5), Restart(1.0), Restart(2.0), Quarantine(60.0)]
    # After the quarantine the first death is enough, until the window has passed over the old ones.
    assert after_death((*deaths, 470.0), 470.0, POLICY, 0.5) == Quarantine(60.0)
    assert after_death((*deaths, 1000.0), 1000.0, POLICY, 0.5) == Restart(0.0)


@given(st.lists(st.floats(0, 1e6)).map(sorted), st.floats(0, 1e6))
def test_old_deaths_do_not_count(deaths: list[float], window_s: float) -> None:
    now = max(deaths, default=0.0)
    assert all(now - at < window_s for at in recent(tuple(deaths), now, window_s))


def test_the_policy_is_what_the_operator_set() -> None:
    settings = WorkerSettings(restart_backoff_s=1, restart_backoff_cap_s=2, crash_limit=3, crash_window_s=4)
    assert policy_of(settings) == RestartPolicy(1, 2, 3, 4, 60)
