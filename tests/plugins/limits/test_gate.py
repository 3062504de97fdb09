"""The gate behind the hooks; what it does is told by test_plugin.py, through those."""

from __future__ import annotations

from gateway.core.caller import ANYBODY
from gateway.core.messages import InferRequest
from gateway.core.model import ModelKey
from gateway_plugins.limits.gate import Gate
from gateway_plugins.limits.settings import LimitsSettings


def test_what_a_model_asks_of_others_is_part_of_what_was_let_in() -> None:
    rule = {"name": "all", "per": "gateway", "concurrency": 1}
    gate = Gate(LimitsSettings.model_validate({"rules": [rule]}), lambda: 1.0)
    assert gate.admit(InferRequest("m", 0, ()), ANYBODY) is not None
    assert gate.admit(InferRequest("m", 0, (), chain=(ModelKey("x", 1),)), ANYBODY) is None


def test_without_anything_to_learn_there_is_no_pressure() -> None:
    assert Gate(LimitsSettings(), lambda: 1.0).pressure is None
