from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.admin.settings import AdminSettings
from gateway.config import ConfigError, validate


def test_it_is_off_unless_a_repository_is_named() -> None:
    assert AdminSettings().uploads is None


def test_beyond_loopback_a_token_is_needed() -> None:
    with pytest.raises(ValidationError, match=r"admin\.token_file must be set"):
        AdminSettings(host="0.0.0.0")
    assert AdminSettings(host="0.0.0.0", token_file=Path("token")).host == "0.0.0.0"


def test_versions_are_sent_to_a_repository_that_is_served() -> None:
    repository = {"paths": ["a", "b"]}
    assert validate({"repository": repository, "admin": {"uploads": "b"}}).admin.uploads == Path("b")
    with pytest.raises(ConfigError, match=r"admin\.uploads = c: must be one of repository\.paths"):
        validate({"repository": repository, "admin": {"uploads": "c"}})
