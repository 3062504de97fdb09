"""Files that come with a load: what is taken, and where it lies."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput
from gateway.repository.local import scan
from gateway.repository.staging import MAX_FILES, Staging, check_paths


class File(NamedTuple):
    path: str
    content: bytes


@pytest.mark.parametrize(
    "path",
    ["1/model.onnx", "12/weights/part.0/data.bin", "1/model.onnx.data", "9223372036854775807/x"],
)
def test_data_of_a_version_is_taken(path: str) -> None:
    check_paths([path])


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "1", "1/", "/1/model.onnx", "x/model.onnx", "0/model.onnx", "01/model.onnx", "-1/x"),
        *("../1/x", "1/../x", "1/./x", "1//x", "1/.hidden", "1/x\0", "1/x\n", "1/x y", "1/é", "1\\x", "C:/x"),
        *("1/a/b/c/d", "1/" + "A" * 129, "A" * 256, "9223372036854775808/x", "1/" * 500 + "x"),
        *(
            "1/model.py",
            "1/MODEL.PY",
            "1/lib.so.1",
            "1/x.pyc",
            "1/model.pt",
            "1/x.pkl",
            "1/run.sh",
            "1/a.plan",
        ),
    ],
)
def test_what_could_lie_elsewhere_or_run_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid file path") as refused:
        check_paths([path])
    assert len(refused.value.text) < 300


@given(st.text(max_size=40))
def test_whatever_is_taken_stays_below_its_folder(path: str) -> None:
    try:
        check_paths([path])
    except InvalidInput:
        return
    assert os.path.normpath(f"/r/m/{path}") == f"/r/m/{path}"


@pytest.mark.parametrize(
    "paths", [["1/a", "1/a"], ["1/a", "1/A"], ["1/a", "1/a/b"], [f"1/{n}" for n in range(MAX_FILES + 1)]]
)
def test_files_that_clash_and_too_many_are_refused(paths: list[str]) -> None:
    with pytest.raises(InvalidInput):
        check_paths(paths)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_files_lie_in_a_repository_of_their_own_that_nobody_else_reads(temporary: Path) -> None:
    staging = Staging()
    assert not list(temporary.iterdir()), "made when it is needed"
    root = staging.put("m", [File("1/model.onnx", b"abc"), File("1/w/x.data", b"")])
    entry = scan(Path(root)).entries["m"]
    assert [version.version for version in entry.versions] == [1]
    (folder,) = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    other = staging.put("m", [File("1/model.onnx", b"abc")])
    assert other != root
    staging.remove(root)
    staging.remove(root)
    assert not Path(root).exists()
    assert (Path(other) / "m" / "1" / "model.onnx").read_bytes() == b"abc"
    staging.close()
    staging.close()
    assert not list(temporary.iterdir())


def test_what_cannot_be_written_leaves_nothing(temporary: Path) -> None:
    staging = Staging()
    with pytest.raises(FileExistsError):
        staging.put("m", [File("1/a", b""), File("1/a", b"")])
    assert [list(folder.iterdir()) for folder in temporary.iterdir()] == [[]]
    staging.close()
