from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.frontends.settings import FrontendSettings


def test_defaults_are_valid_and_unknown_keys_are_not():
    assert FrontendSettings().server_name == "model-gateway"
    for broken in (
        {"serve_name": "x"},
        {"rest": {"max_body": 1}},
        {"grpc": {"max_message_bytes": 0}},
        {"compat": "kserve"},
    ):
        with pytest.raises(ValidationError):
            FrontendSettings.model_validate(broken)


def test_every_setting_is_described():
    for section in (
        FrontendSettings,
        *(type(getattr(FrontendSettings(), name)) for name in ("rest", "grpc")),
    ):
        for name, field in section.model_fields.items():
            assert name in {"rest", "grpc"} or (field.description or "").endswith("."), name
