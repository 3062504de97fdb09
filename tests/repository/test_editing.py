"""What operators change of a model: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.core.errors import Conflict, InvalidInput, ModelNotFound
from gateway.repository.archives import Limits
from gateway.repository.editing import NOTHING, Editing
from gateway.repository.uploads import Uploads


@pytest.fixture
def editing(tmp_path: Path) -> Editing:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    return Editing(Uploads(tmp_path, Limits(8, 1 << 20)))


def test_a_change_that_fails_leaves_what_was(
    editing: Editing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editing.put_config("m", b"max_batch_size: 1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        editing.put_config("m", b"max_batch_size: 2")
    monkeypatch.undo()
    assert editing.config("m")[0] == b"max_batch_size: 1"
    assert os.listdir(tmp_path / ".uploads") == []


def test_every_change_changes_the_tag_of_the_whole(editing: Editing, tmp_path: Path) -> None:
    tags = [editing.tag("m")]
    editing.put_config("m", b"max_batch_size: 1")
    tags.append(editing.tag("m"))
    editing.move_label("m", "stable", 1)
    tags.append(editing.tag("m"))
    (tmp_path / "m" / "2").mkdir()
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(b"y")
    tags.append(editing.tag("m"))
    assert len(set(tags)) == 4
    editing.drop_label("m", "stable")
    assert editing.labels("m")[0] == {}


def test_what_is_not_there(editing: Editing) -> None:
    assert editing.config("m") == (b"", NOTHING)
    for change in (
        lambda: editing.config("n"),
        lambda: editing.tag("n"),
        lambda: editing.remove("n"),
        lambda: editing.move_label("m", "stable", 9),
        lambda: editing.drop_label("m", "stable"),
    ):
        with pytest.raises(ModelNotFound):
            change()


def test_labels_that_somebody_broke_are_not_written_over(editing: Editing, tmp_path: Path) -> None:
    (tmp_path / "m" / "labels.json").write_text("{")
    with pytest.raises(Conflict, match=r"labels\.json"):
        editing.move_label("m", "stable", 1)
    with pytest.raises(InvalidInput):
        editing.put_config("m", b"x" * (2 << 20))
