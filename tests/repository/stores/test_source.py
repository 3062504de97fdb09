"""One store as a source of models."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from gateway.repository.settings import StoreSettings
from gateway.repository.stores.objects import StoreFailed
from gateway.repository.stores.source import Source
from tests.fakes import onnx_files
from tests.fakes.stored_objects import FakeObjects

CONFIG = b'platform: "onnxruntime_onnx" max_batch_size: 8'


class Bench:
    def __init__(self, tmp_path: Path, *, trusted_code: bool = False) -> None:
        self.objects = FakeObjects()
        self.objects.add_folder("m/1", onnx_files.mlp(tmp_path / "made"))
        self.objects.files["m/config.pbtxt"] = CONFIG
        settings = StoreSettings(name="fake", url="memory:///", trusted_code=trusted_code)
        (tmp_path / "mirror").mkdir()
        self.source = Source(settings, self.objects, tmp_path / "mirror")

    def look(self) -> dict[str, list[int]]:
        entries = self.source.look().entries
        return {name: [one.version for one in entry.versions] for name, entry in entries.items()}

    def why(self, name: str = "m") -> str:
        entry = self.source.catalogue.entries[name]
        return entry.broken or "; ".join(one.reason for one in entry.refused)


def test_a_version_is_told_from_the_listing_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.look() == {"m": [1]}
    entry = bench.source.catalogue.entries["m"]
    (version,) = entry.versions
    assert (version.source, version.path, version.runtime_file) == ("fake", "", "model.onnx")
    assert version.size_bytes == len(bench.objects.files["m/1/model.onnx"])
    assert entry.config.max_batch_size == 8
    assert bench.objects.reads == ["m/config.pbtxt"]
    assert bench.look() == {"m": [1]}
    assert bench.objects.reads == ["m/config.pbtxt"], "what has not changed is not read again"
    assert bench.objects.downloads == []


def test_marks_follow_the_files(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look()
    mark = bench.source.catalogue.entries["m"].versions[0].fingerprint
    bench.objects.files["m/1/model.onnx"] += b"x"
    bench.look()
    assert bench.source.catalogue.entries["m"].versions[0].fingerprint != mark


def test_a_changed_configuration_is_read_and_a_removed_one_forgotten(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look()
    bench.objects.files["m/config.pbtxt"] = CONFIG.replace(b"8", b"9")
    bench.look()
    assert bench.source.catalogue.entries["m"].config.max_batch_size == 9
    del bench.objects.files["m/config.pbtxt"]
    bench.look()
    assert not bench.source.catalogue.entries["m"].config.is_max_batch_known


def test_a_version_with_a_manifest_is_whole_or_not_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.objects.files["m/2/model.onnx"] = bench.objects.files["m/1/model.onnx"]
    bench.objects.files["m/2/extra.bin"] = b"1234"
    bench.objects.add_manifest("m/2")
    late = bench.objects.files.pop("m/2/extra.bin")
    assert bench.look() == {"m": [1]}
    assert bench.why() == "1 of the files in manifest.json are not there yet"
    bench.objects.files["m/2/extra.bin"] = late
    assert bench.look() == {"m": [2]}
    (version,) = bench.source.catalogue.entries["m"].versions
    assert all(len(file.sha256) == 64 for file in version.files)
    bench.objects.files["m/2/manifest.json"] = b"no json"
    assert bench.look() == {"m": [1]}


def test_code_is_served_from_trusted_stores_alone(tmp_path: Path) -> None:
    for is_trusted in (False, True):
        (tmp_path / str(is_trusted)).mkdir()
        bench = Bench(tmp_path / str(is_trusted), trusted_code=is_trusted)
        bench.objects.files["p/1/model.py"] = b"import os"
        bench.objects.files["p/config.pbtxt"] = b'backend: "python"'
        assert bench.look()["p"] == ([1] if is_trusted else [])
        assert is_trusted or "'model.py' is code, and store 'fake' is not marked trusted_code" in bench.why(
            "p"
        )


def test_hostile_names_cost_their_version_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.objects.files["m/2/../../escape"] = b"x"
    bench.objects.files["m/2/model.onnx"] = b"x"
    assert bench.look() == {"m": [1]}
    assert not (tmp_path / "escape").exists()


def test_a_store_that_does_not_answer_keeps_what_it_had(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.look()
    bench.objects.fault = "store 'fake' cannot be listed: GenericError"
    with pytest.raises(StoreFailed, match="cannot be listed"):
        bench.look()
    assert list(bench.source.catalogue.entries) == ["m"]


def test_an_emptied_store_is_believed_at_the_second_look(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    bench.look()
    bench.objects.files.clear()
    with caplog.at_level(logging.WARNING):
        assert bench.look() == {"m": [1]}
    assert "not believed yet" in caplog.text
    assert bench.look() == {}


def test_too_much_beside_a_configuration_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.objects.files["m/huge.bin"] = bytes(17 << 20)
    bench.look()
    assert bench.why() == "the files beside its configuration have more than 16777216 bytes"
