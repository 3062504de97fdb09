"""Which rule is for a request, and who answers by it."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, NamedTuple

import pytest

from gateway.core.caller import ANYBODY, Caller, Principal
from gateway.core.messages import InferRequest
from gateway.hooks.values import Target
from gateway_plugins.routing.rules import Choice as NumberedChoice
from gateway_plugins.routing.rules import Rules
from gateway_plugins.routing.settings import RoutingSettings

ANNA = Caller(Principal("anna", "shop"), ((b"x-stage", b"beta-2"),))
NEVER = 0.999


class Choice(NamedTuple):
    """A choice without the number that only counts are kept by."""

    target: Target
    rule: str
    arm: int


def rules(*told: dict[str, Any]) -> Rules:
    named = [{"name": f"r{number}", **one} for number, one in enumerate(told)]
    return Rules(RoutingSettings.model_validate({"rules": named}).rules)


def choose(
    made: Rules,
    request: InferRequest | None = None,
    caller: Caller = ANNA,
    draw: float = NEVER,
    down: tuple[Target, ...] = (),
    wall: float = 0.0,
) -> Choice | None:
    request = request or InferRequest("m", 0, (), parameters={"region": "eu", "n": 3})
    choice = made.choose(
        request, caller, wall, lambda: draw, lambda model, version: Target(model, version) not in down
    )
    if choice is None:
        return None
    assert made.arms[choice.number] == (choice.rule, choice.arm)
    assert isinstance(choice, NumberedChoice)
    return Choice(*choice[:3])


TO_N = {"target": {"model": "n", "version": 2}}


@pytest.mark.parametrize(
    ("match", "is_for_it"),
    [
        ({}, True),
        ({"models": ["m"]}, True),
        ({"models": ["x", "m*"]}, True),
        ({"models": ["x"]}, False),
        ({"models": ["m"], "versions": ["0"]}, True),
        ({"models": ["m"], "versions": ["canary"]}, False),
        ({"headers": {"x-stage": "beta-*"}}, True),
        ({"headers": {"x-stage": "beta"}}, False),
        ({"headers": {"x-other": "*"}}, False),
        ({"parameters": {"region": "eu", "n": "3"}}, True),
        ({"parameters": {"region": "us"}}, False),
        ({"parameters": {"absent": "*"}}, False),
        ({"principals": ["an*"]}, True),
        ({"principals": ["bob"]}, False),
        ({"tenants": ["shop"]}, True),
        ({"tenants": ["bank"]}, False),
        ({"protocol": "rest"}, True),
        ({"protocol": "grpc"}, False),
        ({"windows": [{"days": ["thu"], "begins": "00:00", "ends": "01:00"}]}, True),  # 1970-01-01
        ({"windows": [{"days": ["fri"]}]}, False),
    ],
)
def test_what_is_given_must_fit(match: dict[str, Any], is_for_it: bool) -> None:
    choice = choose(rules({"match": match, **TO_N}))
    assert choice == (Choice(Target("n", 2), "r0", 0) if is_for_it else None)


def test_nobody_is_no_principal() -> None:
    for match in ({"principals": ["*"]}, {"tenants": ["*"]}):
        assert choose(rules({"match": match, **TO_N}), caller=ANYBODY) is None


def test_the_first_that_matches_decides_by_name_or_by_pattern() -> None:
    made = rules(
        {"match": {"models": ["m"], "tenants": ["bank"]}, "target": {"model": "a"}},
        {"match": {"models": ["m*"], "headers": {"x-stage": "*"}}, "target": {"model": "b"}},
        {"match": {"models": ["m"]}, "target": {"model": "c"}},
        {"match": {"models": ["other"]}, "target": {"model": "d"}},
    )
    assert choose(made) == Choice(Target("b"), "r1", 0)
    assert choose(made, caller=ANYBODY) == Choice(Target("c"), "r2", 0)
    assert choose(made, InferRequest("mx", 0, ())) == Choice(Target("b"), "r1", 0)
    assert choose(made, InferRequest("mx", 0, ()), ANYBODY) is None
    assert choose(made, InferRequest("zzz", 0, ())) is None


ARMS = {"arms": [{"model": "m", "version": 1, "weight": 90}, {"model": "m", "version": 2, "weight": 10}]}


def test_weights_by_chance() -> None:
    made, random = rules(ARMS), Random(1)
    counts = Counter(
        choice.arm for _ in range(20_000) if (choice := choose(made, draw=random.random())) is not None
    )
    assert counts[1] / 20_000 == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("sticky", "callers"),
    [
        ("principal", [Caller(Principal(f"p{n}")) for n in range(2000)]),
        ("tenant", [Caller(Principal("p", f"t{n}")) for n in range(2000)]),
        ("header:x-user", [Caller(None, ((b"x-user", b"u%d" % n),)) for n in range(2000)]),
    ],
)
def test_who_is_stuck_to_an_arm_stays_there(sticky: str, callers: list[Caller]) -> None:
    made = rules({**ARMS, "sticky": sticky})
    first = [choose(made, caller=one, draw=0.0) for one in callers]
    assert first == [choose(made, caller=one, draw=NEVER) for one in callers]
    share = sum(choice.arm for choice in first if choice is not None) / len(callers)
    assert share == pytest.approx(0.1, abs=0.02)


def test_a_parameter_sticks_and_who_has_none_is_left_to_chance() -> None:
    made = rules({**ARMS, "sticky": "parameter:user"})
    request = InferRequest("m", 0, (), parameters={"user": 7})
    assert choose(made, request, draw=0.0) == choose(made, request, draw=NEVER)
    low, high = choose(made, draw=0.0), choose(made, draw=NEVER)
    assert low is not None
    assert high is not None
    assert (low.arm, high.arm) == (1, 0)


def test_another_salt_deals_anew() -> None:
    callers = [Caller(Principal(f"p{n}")) for n in range(2000)]

    def stuck(**more: str) -> list[Choice | None]:
        made = rules({**ARMS, "sticky": "principal", **more})
        return [choose(made, caller=one) for one in callers]

    assert stuck(salt="a") == stuck(salt="a")
    assert stuck(salt="a") != stuck(salt="b")
    assert stuck() == stuck(salt="r0")


def test_by_tenant_and_for_no_others() -> None:
    made = rules({"by_tenant": {"shop": {"model": "shops"}}}, {"target": {"model": "all"}})
    assert choose(made) == Choice(Target("shops"), "r0", 0)
    assert choose(made, caller=Caller(Principal("bob", "bank"))) == Choice(Target("all"), "r1", 0)
    assert choose(made, caller=ANYBODY) == Choice(Target("all"), "r1", 0)


def test_the_fallback_answers_while_the_chosen_one_is_down() -> None:
    made = rules({**TO_N, "fallback": {"model": "n", "version": 1}})
    assert choose(made) == Choice(Target("n", 2), "r0", 0)
    assert choose(made, down=(Target("n", 2),)) == Choice(Target("n", 1), "r0", 0)
    both = (Target("n", 2), Target("n", 1))
    assert choose(made, down=both) == Choice(Target("n", 2), "r0", 0)
    assert choose(rules(TO_N), down=(Target("n", 2),)) == Choice(Target("n", 2), "r0", 0)
