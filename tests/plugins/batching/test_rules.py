"""What every strategy keeps, whatever waits: the rules of the contract, and that nothing waits for ever."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.batching import Policy, Strategy, broken_rule
from gateway_plugins.batching.plugin import STRATEGIES
from tests.plugins.batching.waiting import NOW, lines, observations, policies
from tests.simulation.batching import Server, poisson, simulate

each = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))


@each
@given(st.data())
def test_the_rules_are_kept_and_nothing_is_remembered(strategy: Strategy, data: st.DataObject) -> None:
    policy, observed = data.draw(policies()), data.draw(observations())
    queued = data.draw(lines(policy))
    given_as = list(queued)
    formed = strategy(NOW, queued, policy, observed)
    assert broken_rule(NOW, queued, policy, observed, formed) == ""
    assert queued == given_as
    assert strategy(NOW, queued, policy, observed) == formed


@each
@given(st.data())
def test_all_that_waits_goes_without_anybody_coming(strategy: Strategy, data: st.DataObject) -> None:
    policy = data.draw(policies())
    policy = policy._replace(max_delay_s=policy.max_delay_s or 0.5)  # static would wait for ever
    observed = data.draw(observations(least_idle=1))
    waiting, now = data.draw(lines(policy)), NOW
    for _ in range(60):
        formed = strategy(now, waiting, policy, observed)
        going = {one for batch in formed.batches for one in batch}
        waiting = [one for one in waiting if one not in going]
        if not waiting:
            return
        if not going:
            assert formed.wake_at < inf
            now = formed.wake_at
    raise AssertionError(f"{waiting} still wait")


@each
@pytest.mark.parametrize("instances", [1, 3])
def test_in_a_simulation_all_are_answered(strategy: Strategy, instances: int) -> None:
    server = Server(0.001, 0.002, instances)
    policy = Policy(8, (4,), 0.005, 0.05)
    outcome = simulate(strategy, policy, server, poisson(0.5 * server.rows_per_s(1), 2000, 1))
    assert outcome.faults == ()
    assert max(outcome.latencies_s) < 0.2
