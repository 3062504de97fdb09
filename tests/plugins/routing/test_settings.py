"""Rules that fit nothing are refused, each with a word of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway_plugins.routing.settings import RoutingSettings

TARGET = {"target": {"model": "n"}}
ARM = {"model": "m", "weight": 1}


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([{"name": "a"}], "exactly one of target, arms and by_tenant"),
        ([{"name": "a", **TARGET, "arms": [ARM]}], "exactly one of"),
        ([{"name": "a", "arms": [{**ARM, "weight": 0}]}], "all weights are 0"),
        ([{"name": "a", "arms": [{**ARM, "weight": -1}]}], "greater than or equal to 0"),
        ([{"name": "a", **TARGET, "sticky": "principal"}], "sticky is for arms"),
        ([{"name": "a", "arms": [ARM], "sticky": "mood"}], "sticky"),
        ([{"name": "a", "target": {"model": "../x"}}], "model"),
        ([{"name": "a", "target": {"model": "m", "version": "1 a"}}], "version"),
        ([{"name": "a", "target": {"model": "m", "version": -1}}], "version"),
        ([{"name": "a b", **TARGET}], "name"),
        ([{"name": "a", **TARGET}, {"name": "a", **TARGET}], "two rules are called 'a'"),
        ([{"name": "a", **TARGET}, {"name": "b", **TARGET}], "'b' is never reached: 'a' takes all of it"),
        (
            [
                {"name": "a", "match": {"models": ["m"]}, **TARGET},
                {"name": "b", "match": {"models": ["m"]}, **TARGET},
            ],
            "'b' is never reached",
        ),
        ([{"name": "a", "match": {"windows": [{"timezone": "Mars/Base"}]}, **TARGET}], "no time zone"),
        ([{"name": "a", "match": {"windows": [{"begins": "25:00"}]}, **TARGET}], "hour must be"),
        ([{"name": "a", "match": {"models": []}, **TARGET}], "at least 1"),
        ([{"name": "a", "match": {"mood": "good"}, **TARGET}], "mood"),
        ([{"name": "a", "match": {"headers": {"X-Upper": "a"}}, **TARGET}], "X-Upper"),
    ],
)
def test_refused(rules: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RoutingSettings.model_validate({"rules": rules})
    assert text in str(caught.value)


def test_a_rule_with_a_condition_hides_no_other() -> None:
    rules = [
        {"name": "a", "match": {"tenants": ["shop"]}, **TARGET},
        {"name": "b", "by_tenant": {"shop": {"model": "m"}}},
        {"name": "c", **TARGET},
    ]
    assert len(RoutingSettings.model_validate({"rules": rules}).rules) == 3
