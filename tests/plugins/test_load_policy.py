"""What may be loaded, and what must stay."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import Forbidden
from gateway.testing import start
from gateway_plugins.load_policy import LoadPolicy, LoadPolicySettings


def made(**settings: Any) -> LoadPolicy:
    return LoadPolicy(LoadPolicySettings.model_validate(settings), start())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "model.onnx").write_bytes(bytes(100))
    (tmp_path / "parts" / "Weights.PKL").write_bytes(bytes(50))
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, ""),
        ({"models": ["fraud*"]}, ""),
        ({"models": ["other"]}, "models of this name"),
        ({"not_models": ["fraud"]}, "models of this name"),
        ({"not_files": ["*.pt", "*.py"]}, ""),
        ({"not_files": ["*.Pkl"]}, "files such as 'Weights.PKL'"),
        ({"max_bytes": 150}, ""),
        ({"max_bytes": 149}, "more than 149 bytes"),
    ],
)
def test_what_may_be_loaded(folder: Path, settings: dict[str, Any], fault: str) -> None:
    def load() -> None:
        asyncio.run(made(**settings).approve_load("fraud", 1, folder))

    if fault:
        with pytest.raises(Forbidden, match=fault):
            load()
    else:
        load()


def test_a_version_that_is_a_file(folder: Path) -> None:
    with pytest.raises(Forbidden):
        asyncio.run(made(max_bytes=99).approve_load("fraud", 1, folder / "model.onnx"))


def test_what_must_stay() -> None:
    plugin = made(keep=["fraud*"])
    plugin.approve_unload("other")
    with pytest.raises(Forbidden, match="'fraud-2' is kept loaded"):
        plugin.approve_unload("fraud-2")
    assert "approve_unload" in made().unused
