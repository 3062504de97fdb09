"""Versions that are sent: whole or not there, the same for ever, and removed in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.errors import Conflict, GatewayError, InvalidInput, ModelNotFound
from gateway.repository.archives import Limits
from gateway.repository.local import scan
from gateway.repository.uploads import Uploads
from tests.repository.test_archives import PLAIN, packed

OTHER = {**PLAIN, "model.onnx": b"Weights"}  # of the same size


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path, Limits(8, 1 << 20))


def publish(uploads: Uploads, files: dict[str, bytes], model: str = "m", version: int = 1) -> bool:
    folder = uploads.new_folder()
    try:
        archive = folder / "archive"
        archive.write_bytes(packed("tar.gz", files))
        return uploads.publish(folder, archive, model, version)
    finally:
        uploads.discard(folder)


def staged(root: Path) -> list[str]:
    return os.listdir(root / ".uploads")


def test_a_version_that_was_sent_is_found_by_a_scan_and_nothing_else_is(
    uploads: Uploads, tmp_path: Path
) -> None:
    assert publish(uploads, PLAIN)
    found = scan(tmp_path)
    assert [(one.version, one.runtime_file) for one in found.entries["m"].versions] == [(1, "model.onnx")]
    assert (list(found.entries), found.ignored, staged(tmp_path)) == (["m"], (), [])
    assert uploads.look("m", 1).files == (("model.onnx", 7), ("more/part.0/data.bin", 256))
    assert uploads.look("m", 1).tag == found.entries["m"].versions[0].fingerprint


def test_what_is_staged_is_invisible_and_removed_after_a_kill(uploads: Uploads, tmp_path: Path) -> None:
    (uploads.new_folder() / "model.onnx").touch()
    assert not scan(tmp_path).entries
    Uploads(tmp_path, Limits(8, 1 << 20)).remove_abandoned()
    assert not (tmp_path / ".uploads").exists()


def test_a_version_never_changes(uploads: Uploads, tmp_path: Path) -> None:
    publish(uploads, PLAIN)
    before = uploads.look("m", 1)
    assert not publish(uploads, PLAIN)
    for files in (OTHER, {"model.onnx": b"weights"}, {**PLAIN, "new.bin": b""}):
        with pytest.raises(Conflict, match="is there already"):
            publish(uploads, files)
    assert uploads.look("m", 1) == before
    assert (tmp_path / "m/1/model.onnx").read_bytes() == b"weights"
    assert staged(tmp_path) == []


def test_a_refused_archive_leaves_no_model_behind(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(GatewayError):
        publish(uploads, {"../../x": b"x"})
    assert os.listdir(tmp_path) == [".uploads"]
    assert staged(tmp_path) == []


def test_a_version_is_removed_and_may_come_again(uploads: Uploads, tmp_path: Path) -> None:
    publish(uploads, PLAIN)
    publish(uploads, PLAIN, version=2)
    uploads.remove("m", 1)
    assert os.listdir(tmp_path / "m") == ["2"]
    for act in (uploads.look, uploads.remove):
        with pytest.raises(ModelNotFound):
            act("m", 1)
    assert staged(tmp_path) == []
    assert publish(uploads, OTHER)


@pytest.mark.parametrize(
    ("model", "version"), [("../m", 1), (".uploads", 1), ("m/1", 1), ("m", 0), ("m", -1), ("m", 1 << 63)]
)
def test_places_elsewhere_are_refused(uploads: Uploads, model: str, version: int, tmp_path: Path) -> None:
    for act in (uploads.look, uploads.remove):
        with pytest.raises(InvalidInput):
            act(model, version)
    with pytest.raises(InvalidInput):
        publish(uploads, PLAIN, model, version)
    assert os.listdir(tmp_path) in ([".uploads"], [])


def test_links_are_not_followed(
    uploads: Uploads, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (tmp_path / "m").symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="is a link"):
        publish(uploads, PLAIN)
    (tmp_path / "n").mkdir()
    (tmp_path / "n/1").symlink_to(elsewhere)
    with pytest.raises(Conflict):
        publish(uploads, PLAIN, "n")
    assert os.listdir(elsewhere) == []


def test_a_file_where_the_version_would_be_is_left(uploads: Uploads, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/1").write_text("mine")
    with pytest.raises(Conflict):
        publish(uploads, PLAIN)
    assert (tmp_path / "m/1").read_text() == "mine"


def test_files_are_readable_as_others_are(uploads: Uploads, tmp_path: Path) -> None:
    publish(uploads, PLAIN)
    modes = {
        str(path.relative_to(tmp_path / "m")): path.stat().st_mode & 0o777
        for path in (tmp_path / "m").rglob("*")
    }
    assert modes["1"] == modes["1/more"] == 0o755
    assert modes["1/model.onnx"] == modes["1/more/part.0/data.bin"] == 0o644
