"""It waits for what waiting buys, within the objective; and does as well as a window tuned by hand."""

from __future__ import annotations

import pytest

from gateway.core.batching import Formed, Observed, Policy, Queued
from gateway_plugins.batching import dynamic
from gateway_plugins.batching.slo_aware import form_batches, row_limit, rows_to_keep_up, rows_wanted
from tests.simulation.batching import Server, poisson, simulate

NOW = 100.0
POLICY = Policy(64, objective_s=0.05)
# A row takes 5.2 ms, seven take 6.4: one by one the instance would be busy four times over.
KNOWN = Observed(1, 1, per_row_s=0.0002, per_batch_s=0.005, rows_per_s=800.0)
SLOW, TIGHT = KNOWN._replace(rows_per_s=400.0), POLICY._replace(objective_s=0.02)


def waiting(count: int, arrived: float = NOW) -> list[Queued]:
    return [Queued(number, arrived) for number in range(count)]


def test_without_knowledge_or_company_it_goes_at_once() -> None:
    (one,) = waiting(1)
    for observed in (Observed(1, 1), Observed(1, 1, rows_per_s=9e9), KNOWN._replace(rows_per_s=150.0)):
        assert form_batches(NOW, [one], POLICY, observed) == Formed(((one,),))
    no_objective = POLICY._replace(objective_s=0.0)
    assert form_batches(NOW, [one], no_objective, KNOWN) == Formed(((one,),))


def test_under_load_it_waits_for_what_the_instance_needs_to_keep_up() -> None:
    wanted = rows_wanted(POLICY, KNOWN)
    assert wanted == 7  # 800 * 5 ms / (0.8 - 800 * 0.2 ms) = 6.25
    few = waiting(wanted - 1)
    assert form_batches(NOW, few, POLICY, KNOWN) == Formed((), NOW + 2 * wanted / 800.0)
    enough = waiting(wanted)
    assert form_batches(NOW, enough, POLICY, KNOWN).batches == (tuple(enough),)
    late = waiting(1, NOW - 2 * wanted / 800.0)
    assert form_batches(NOW, late, POLICY, KNOWN).batches == (tuple(late),)


def test_it_never_waits_past_the_objective_or_a_deadline() -> None:
    (one,) = waiting(1)
    assert form_batches(NOW, [one], TIGHT, SLOW).wake_at == pytest.approx(NOW + 0.9 * 0.02 - 0.0052)
    urgent = one._replace(deadline=NOW + 0.012)
    assert form_batches(NOW, [urgent], POLICY, KNOWN).wake_at == pytest.approx(NOW + 0.012 - 2 * 0.0052)


def test_those_who_cannot_share_its_batch_may_take_the_only_idle_instance() -> None:
    one, other = waiting(1, NOW - 0.004)[0], Queued(9, NOW, compat="other")
    assert form_batches(NOW, [one], TIGHT, SLOW).batches == ()
    formed = form_batches(NOW, [one, other], TIGHT, SLOW)
    assert formed.batches == ((one,),), "a run of the other first, and it would be late"
    spare = SLOW._replace(idle=2, instances=2, rows_per_s=800.0)
    assert form_batches(NOW, [one, other], TIGHT, spare).batches == ()


def test_a_batch_leaves_time_for_those_who_just_miss_it() -> None:
    # (0.9 * 50 ms / 2 - 5 ms) / 0.2 ms
    assert row_limit(POLICY._replace(max_rows=200), KNOWN) == 87
    assert len(form_batches(NOW, waiting(200), POLICY._replace(max_rows=200), KNOWN).batches[0]) == 87
    hopeless = POLICY._replace(objective_s=0.001)
    assert rows_to_keep_up(64, KNOWN, 0.95) == 6
    assert row_limit(hopeless, KNOWN) == 12, "twice that, for bursts"
    assert row_limit(hopeless, KNOWN._replace(rows_per_s=9e9)) == 64, "only throughput is left"
    slow = Observed(1, 1, per_row_s=1.0, rows_per_s=0.1)
    assert row_limit(POLICY, slow) == 2, "or it would never be learned that two cost hardly more"


def test_a_backlog_is_shared_by_the_instances() -> None:
    four = KNOWN._replace(idle=1, instances=4)
    assert len(form_batches(NOW, waiting(40), POLICY, four).batches[0]) == 10


@pytest.mark.parametrize(
    ("server", "objective_s"), [(Server(0.0002, 0.002), 0.03), (Server(0.0002, 0.002, 4), 0.03)]
)
@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_it_does_as_well_as_any_fixed_window(server: Server, objective_s: float, load: float) -> None:
    arrivals = poisson(load * server.rows_per_s(64), 3000, 5)
    own = simulate(form_batches, Policy(64, objective_s=objective_s), server, arrivals)
    for delay_s in (0.0, 0.002, 0.005):
        fixed = simulate(dynamic.form_batches, Policy(64, max_delay_s=delay_s), server, arrivals)
        if fixed.quantile_s(0.99) <= objective_s:
            assert own.quantile_s(0.99) <= objective_s
            assert own.rows_per_s >= 0.95 * fixed.rows_per_s


def test_a_small_load_costs_no_latency() -> None:
    server = Server(0.001, 0.004)
    arrivals = poisson(20.0, 500, 2)
    own = simulate(form_batches, POLICY, server, arrivals)
    at_once = simulate(dynamic.form_batches, Policy(64), server, arrivals)
    assert own.latencies_s == at_once.latencies_s
