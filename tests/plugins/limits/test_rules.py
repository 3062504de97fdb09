"""Which limits are met, what is said of them, and that a refusal takes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.caller import Principal
from gateway.core.errors import GatewayError, Overloaded, QuotaExceeded
from gateway_plugins.limits.rules import Plan, Rules
from gateway_plugins.limits.settings import LimitsSettings


def rules(*given: dict[str, Any], **settings: Any) -> Rules:
    return Rules(LimitsSettings.model_validate({"rules": given, **settings}))


def rule(per: str | list[str] = "tenant", **fields: Any) -> dict[str, Any]:
    return {"name": "r", "per": per, **fields}


def is_admitted(plan: Plan, now: float = 0.0) -> bool:
    try:
        plan.check(now)
    except GatewayError:
        return False
    plan.take(now)
    return True


ALICE = Principal("alice", "acme")
BOB = Principal("bob", "acme")
OTHER = Principal("alice", "umbrella")


@pytest.mark.parametrize(
    ("per", "shares", "apart"),
    [
        ("principal", [(ALICE, "m"), (ALICE, "n")], [(BOB, "m"), (OTHER, "m"), (None, "m")]),
        ("tenant", [(ALICE, "m"), (BOB, "n")], [(OTHER, "m"), (None, "m")]),
        ("model", [(ALICE, "m"), (OTHER, "m"), (None, "m")], [(ALICE, "n")]),
        ("gateway", [(ALICE, "m"), (OTHER, "n"), (None, "o")], []),
        (["tenant", "model"], [(ALICE, "m"), (BOB, "m")], [(ALICE, "n"), (OTHER, "m")]),
        (["principal", "model"], [(ALICE, "m")], [(BOB, "m"), (OTHER, "m"), (ALICE, "n")]),
        ("principal", [(None, "m"), (None, "n")], [(ALICE, "m")]),  # unknown callers are one
        ("model", [(ALICE, "a" * 256), (ALICE, "b" * 9000)], [(ALICE, "a" * 255)]),  # no models' names
    ],
)
def test_who_shares_a_limit(
    per: str | list[str],
    shares: list[tuple[Principal | None, str]],
    apart: list[tuple[Principal | None, str]],
) -> None:
    made = rules(rule(per, rate=1, burst=1))
    assert is_admitted(made.plan(*shares[0]))
    assert not any(is_admitted(made.plan(*one)) for one in shares)
    assert all(is_admitted(made.plan(*one)) for one in apart)


@pytest.mark.parametrize(
    ("match", "met"),
    [
        ({}, {"alice", "bob", "other", "nobody"}),
        ({"tenants": ["acme"]}, {"alice", "bob"}),
        ({"principals": ["a*"]}, {"alice", "other"}),
        ({"principals": ["bob", "carol"]}, {"bob"}),
        ({"tenants": ["acme"], "principals": ["a*"]}, {"alice"}),
        ({"models": ["m"]}, {"alice", "bob", "other", "nobody"}),
        ({"models": ["x-*"]}, set()),
        ({"tenants": [""]}, {"nobody"}),
    ],
)
def test_whom_a_rule_is_about(match: dict[str, list[str]], met: set[str]) -> None:
    made = rules(rule(rate=1, match=match))
    callers = {"alice": ALICE, "bob": BOB, "other": OTHER, "nobody": None}
    assert {name for name, one in callers.items() if made.plan(one, "m").rates} == met


ACME = {"tenants": ["acme"]}
TEXTS: list[tuple[dict[str, Any], type[GatewayError], str]] = [
    (
        rule("tenant", rate=2, burst=1),
        QuotaExceeded,
        "limit 'r': no more than 2 requests per second (and 1 at once) for each tenant",
    ),
    (
        rule(["tenant", "model"], rate=0.5),
        QuotaExceeded,
        "limit 'r': no more than 0.5 requests per second (and 1 at once) for each tenant and model",
    ),
    (
        rule("model", rate=1),
        Overloaded,
        "limit 'r': no more than 1 requests per second (and 1 at once) for each model",
    ),
    (
        rule("gateway", rate=1, match=ACME),
        QuotaExceeded,
        "limit 'r': no more than 1 requests per second (and 1 at once) in all",
    ),
    (
        rule("principal", concurrency=1),
        QuotaExceeded,
        "limit 'r': no more than 1 requests at a time for each principal",
    ),
    (rule("gateway", concurrency=1), Overloaded, "limit 'r': no more than 1 requests at a time in all"),
]


@pytest.mark.parametrize(("given", "kind", "text"), TEXTS)
def test_a_refusal_says_which_limit_it_was(
    given: dict[str, Any], kind: type[GatewayError], text: str
) -> None:
    plan = rules(given).plan(ALICE, "m")
    assert is_admitted(plan)
    for counters, key in plan.places:
        counters.enter(key)
    with pytest.raises(kind) as caught:
        plan.check(0.0)
    assert type(caught.value) is kind
    assert caught.value.text == text
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s > 0


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_limits_the_longer_wait_is_told_and_is_true(turn: int) -> None:
    given = [
        {"name": "short", "per": "tenant", "rate": 10, "burst": 1},
        {"name": "long", "per": "principal", "rate": 0.5, "burst": 1},
        {"name": "free", "per": "model", "rate": 1000},
    ]
    plan = rules(*given[::turn]).plan(ALICE, "m")
    assert is_admitted(plan)
    with pytest.raises(QuotaExceeded, match="'long'") as caught:
        plan.check(0.0)
    assert caught.value.retry_after_s == pytest.approx(2.0)
    assert not is_admitted(plan, 1.9)
    assert is_admitted(plan, caught.value.retry_after_s or 0.0)


def test_a_refusal_by_a_later_rule_takes_nothing_of_the_earlier() -> None:
    made = rules(
        {"name": "mine", "per": "principal", "rate": 1, "burst": 2},
        {"name": "ours", "per": "model", "rate": 1, "burst": 1},
    )
    assert is_admitted(made.plan(BOB, "m"))
    for _ in range(10):
        assert not is_admitted(made.plan(ALICE, "m"))
    assert is_admitted(made.plan(ALICE, "n"))
    assert is_admitted(made.plan(ALICE, "o"))
    assert not is_admitted(made.plan(ALICE, "p"))


def test_each_front_keeps_its_share() -> None:
    made = rules(rule(rate=8, burst=4, concurrency=9), fronts=4)
    plan = made.plan(ALICE, "m")
    assert [is_admitted(plan) for _ in range(2)] == [True, False]
    assert is_admitted(plan, 0.5)
    (count, _), *_ = plan.counts
    assert count.most == 2


def test_a_front_has_at_least_one_token() -> None:
    plan = rules(rule(rate=1, burst=1), fronts=4).plan(ALICE, "m")
    assert is_admitted(plan)
    assert not is_admitted(plan, 3.9)
    assert is_admitted(plan, 4.0)


def test_the_highest_floor_of_the_rules_met_counts() -> None:
    made = rules(
        {"name": "a", "per": "tenant", "priority_floor": 3},
        {"name": "b", "per": "tenant", "priority_floor": 5, "match": {"principals": ["bob"]}},
    )
    assert [made.plan(one, "m").priority_floor for one in (ALICE, BOB)] == [3, 5]
    assert rules().plan(ALICE, "m").priority_floor == 0


def test_plans_are_remembered_within_bounds() -> None:
    made = rules(rule(rate=1000.0), keys=10)
    assert made.plan(ALICE, "m") is made.plan(ALICE, "m")
    assert is_admitted(made.plan(ALICE, "m"))
    for number in range(100):
        made.plan(ALICE, str(number))
        assert len(made._plans) <= 10
    assert made.plan(ALICE, "m").rates[0][0].table.wait_s(("acme",), 0.0) == 0.0
    assert len(made.plan(ALICE, "m").rates[0][0].table) == 1  # what was taken is not


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([rule()], "'r' needs a rate"),
        ([rule(burst=2, concurrency=1)], "burst of 'r'"),
        ([rule(["gateway", "model"], rate=1)], "per of 'r': gateway"),
        ([rule(["model", "model"], rate=1)], "per of 'r' names something twice"),
        ([rule(rate=1), rule(rate=2)], "two called 'r'"),
        ([rule(concurrency=2)], "concurrency 2 of 'r'"),
    ],
)
def test_rules_that_fit_no_reality_are_refused(given: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(ValueError, match=f"rules: .*{text}|rules: {text}"):
        rules(*given, fronts=3)
