from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.repository.settings import RepositorySettings


def test_defaults() -> None:
    settings = RepositorySettings()
    assert (settings.paths, settings.poll_s, settings.default_max_batch_size) == ((Path("models"),), 2.0, 64)
    assert settings.environments is None


def test_several_folders() -> None:
    assert RepositorySettings(paths=["a", "b"]).paths == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    "bad",
    [
        {"paths": []},
        {"poll_s": -1},
        {"poll_s": float("nan")},
        {"poll_s": float("inf")},
        {"default_max_batch_size": 0},
        {"default_max_batch_size": 65_537},
        {"path": "models"},
    ],
)
def test_what_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RepositorySettings.model_validate(bad)


def test_every_field_is_described_and_frozen() -> None:
    assert all(field.description for field in RepositorySettings.model_fields.values())
    with pytest.raises(ValidationError):
        RepositorySettings().poll_s = 1.0
