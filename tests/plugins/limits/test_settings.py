"""What can be written into [plugins.settings.limits]."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from gateway_plugins.limits.settings import LimitsSettings

EXAMPLE = """
fronts = 2
adaptive = { enabled = true, min = 8, max = 400 }
codel = { enabled = true, target_s = 0.05 }
retry_storm = { enabled = true, share = 0.2 }

[[rules]]
name = "tenants"
per = "tenant"
rate = 100
burst = 200
concurrency = 64

[[rules]]
name = "free"
per = ["tenant", "model"]
match = { tenants = ["free-*"] }
rate = 5
priority_floor = 4
"""


def test_the_example_is_understood() -> None:
    settings = LimitsSettings.model_validate(tomllib.loads(EXAMPLE))
    assert [rule.per for rule in settings.rules] == [("tenant",), ("tenant", "model")]
    assert settings.rules[1].match.tenants == ("free-*",)
    assert settings.adaptive.max == 400


@pytest.mark.parametrize(
    "given",
    [
        {"rule": []},
        {"rules": [{"name": "a", "per": "team", "rate": 1}]},
        {"rules": [{"name": "a", "per": [], "rate": 1}]},
        {"rules": [{"name": "a\nb", "per": "tenant", "rate": 1}]},
        {"rules": [{"name": "a", "per": "tenant", "rate": 0}]},
        {"rules": [{"name": "a", "per": "tenant", "rate": float("inf")}]},
        {"rules": [{"name": "a", "per": "tenant", "rate": float("nan")}]},
        {"rules": [{"name": "a", "per": "tenant", "rate": 1, "burst": 0}]},
        {"rules": [{"name": "a", "per": "tenant", "concurrency": 0}]},
        {"fronts": 0},
        {"default_priority": 9},
        {"retry_storm": {"share": 1.0}},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LimitsSettings.model_validate(given)
