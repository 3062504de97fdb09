"""What files of a model mean, wherever they lie; tests/repository/test_local.py has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.repository.catalogue import ConfigFile, PartialConfig, RefusedVersion, VersionEntry
from gateway.repository.folder import FolderRefused, Stamp
from gateway.repository.reading import choose, choose_file, read_config

ONNX = {"model.onnx": Stamp("model.onnx", 5, 0, 0)}


def test_a_configuration_is_parsed_once(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('platform: "onnxruntime_onnx"')
    first = read_config(str(tmp_path), "m", str(tmp_path), ConfigFile(), None)
    assert read_config(str(tmp_path), "m", str(tmp_path), first, None) is first
    assert read_config(str(tmp_path), "m", str(tmp_path), first, b"nonsense").problem


def test_the_file_of_a_version() -> None:
    assert choose_file(ONNX, PartialConfig())[1] == "model.onnx"
    with pytest.raises(FolderRefused, match="is empty"):
        choose_file({"model.onnx": Stamp("model.onnx", 0, 0, 0)}, PartialConfig())
    with pytest.raises(FolderRefused, match="there is no"):
        choose_file({}, PartialConfig())


def test_the_entry_of_a_model() -> None:
    version = VersionEntry(2, "p", "f", "model.onnx", "onnxruntime_onnx", "onnxruntime")
    entry = choose("m", ConfigFile(), [RefusedVersion(3, "no good"), version])
    assert ([one.version for one in entry.versions], entry.broken) == ([2], "")
    assert choose("m", ConfigFile(), [RefusedVersion(3, "no good")]).broken.endswith("version 3: no good")
    assert choose("m", ConfigFile(), []).broken == "there is no version folder (a positive integer)"
