"""The plugin in a front: rules, aliases, and rules that are replaced while it runs."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import numpy as np
import pytest

from gateway.core.caller import ANYBODY, Caller
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferRequest
from gateway.hooks.values import Target
from gateway.testing import Bench, start
from gateway.testing.models import Function
from gateway_plugins.routing.plugin import Routing
from gateway_plugins.routing.router import ALIASES
from gateway_plugins.routing.settings import RoutingSettings

REQUEST = InferRequest("m", 0, ())
RULE = {"name": "beta", "match": {"headers": {"x-stage": "beta"}}, "target": {"model": "m", "version": 2}}


def plugin(*rules: dict[str, Any], **more: Any) -> Routing:
    return Routing(RoutingSettings.model_validate({"rules": rules, **more}), start(), Random(1))


def with_header(name: str, value: str) -> Caller:
    return Caller(None, ((name.encode(), value.encode()),))


@pytest.mark.parametrize("name", ALIASES)
def test_a_header_names_the_model_where_that_is_wanted(name: str) -> None:
    caller = with_header(name, "other")
    assert plugin().route(REQUEST, caller) is None
    routed = plugin({"name": "a", "match": {"models": ["other"]}, "target": {"model": "n"}}, aliases=True)
    assert routed.route(REQUEST, caller) == Target("n")
    assert plugin(aliases=True).route(REQUEST, caller) == Target("other")
    assert plugin(aliases=True).route(REQUEST, ANYBODY) is None


@pytest.mark.parametrize("value", ["", "../x", "a b", "x" * 200])
def test_a_header_that_names_nothing_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="'mm-model-id' names no model"):
        plugin(aliases=True).route(REQUEST, with_header("mm-model-id", value))


def test_rules_are_replaced_whole_or_not_at_all() -> None:
    routing = plugin(RULE)
    before, tag = routing.document(), routing.tag()
    with pytest.raises(ValueError, match="exactly one of"):
        routing.replace({"rules": [RULE, {"name": "broken"}]})
    assert (routing.document(), routing.tag()) == (before, tag)
    assert routing.route(REQUEST, with_header("x-stage", "beta")) == Target("m", 2)
    routing.replace({"rules": [{"name": "all", "target": {"model": "n"}}]})
    assert routing.route(REQUEST, ANYBODY) == Target("n")
    assert routing.tag() != tag
    routing.replace(before)
    assert routing.tag() == tag


def test_what_went_where_is_counted() -> None:
    arms = [{"model": "m", "version": 1, "weight": 1}, {"model": "m", "version": 2, "weight": 1}]
    routing = plugin({"name": "ab", "arms": arms})
    for _ in range(100):
        routing.route(REQUEST, ANYBODY)
    assert set(routing.counts) == {("ab", 0), ("ab", 1)}
    assert routing.counts.total() == 100
    routing.replace({"rules": [{"name": "all", "target": {"model": "n"}}]})
    routing.route(REQUEST, ANYBODY)
    assert routing.counts.total() == 101
    assert routing.counts["all", 0] == 1


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(protocol: str) -> None:
    double = Function(lambda inputs: {"x": inputs["x"] * 2})
    arms = [{"model": "echo", "weight": 0}, {"model": "double", "weight": 1}]
    rules = ({"name": "ab", "match": {"models": ["either"]}, "arms": arms},)

    async def answers() -> list[Any]:
        async with Bench(plugin(*rules), models={"echo": Function(), "double": double}) as bench:
            return [
                (await bench.infer(model, {"x": [[1.0]]}, protocol=protocol)).outputs["x"]
                for model in ("either", "echo")
            ]

    np.testing.assert_array_equal(asyncio.run(answers()), [[[2.0]], [[1.0]]])


def test_who_went_where_is_on_the_page_also_of_rules_that_are_gone() -> None:
    routing = plugin(RULE)
    routing.route(REQUEST, with_header("x-stage", "beta"))
    routing.replace({"rules": []})
    (told,) = routing.measures()
    assert (told.name, told.value, told.labels) == ("requests", 1, (("rule", "beta"), ("arm", "0")))
