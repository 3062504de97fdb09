"""Folders that end with their owner, or with the next one who looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.repository import private_folder
from gateway.repository.private_folder import PrivateFolder, remove_abandoned

PREFIX = "a-prefix-"
# Makes a folder with a file in it, and waits to be killed.
VICTIM = f"""
import sys, tempfile
from gateway.repository.private_folder import PrivateFolder
tempfile.tempdir = sys.argv[1]
made = PrivateFolder("{PREFIX}")
(made.path / "file").write_text("x")
print(made.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_ours_alone_and_gone_when_closed(temporary: Path) -> None:
    made = PrivateFolder(PREFIX)
    (made.path / "folder").mkdir()
    (made.path / "folder" / "file").write_text("x")
    assert made.path.parent == temporary.resolve()
    assert made.path.stat().st_mode & 0o777 == 0o700
    made.close()
    made.close()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_leaves_is_removed_and_what_a_living_one_has_is_not(temporary: Path) -> None:
    command = [sys.executable, "-c", VICTIM, str(temporary)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        folder = Path(victim.stdout.readline().strip())
        assert remove_abandoned(PREFIX) == 0
        assert (folder / "file").exists()
        victim.kill()
    assert (folder / "file").exists()
    assert remove_abandoned(PREFIX) == 1
    assert not list(temporary.iterdir())


def test_our_own_is_not_abandoned(temporary: Path) -> None:
    made = PrivateFolder(PREFIX)
    assert remove_abandoned(PREFIX) == 0
    assert made.path.is_dir()
    made.close()


def test_only_folders_of_this_name_and_of_this_user_are_removed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "another-prefix").mkdir()
    (temporary / f"{PREFIX}file").write_text("x")
    (temporary / f"{PREFIX}link").symlink_to(temporary / "another-prefix")
    assert remove_abandoned(PREFIX) == 0
    (temporary / f"{PREFIX}folder").mkdir()
    ours = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: ours + 1)
        assert remove_abandoned(PREFIX) == 0
    assert remove_abandoned(PREFIX) == 1
    assert len(list(temporary.iterdir())) == 3


def test_a_folder_that_was_taken_for_abandoned_while_it_was_made_is_made_anew(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    try_lock = private_folder._try_lock

    def removed_first(folder: Path) -> int:
        tries.append(folder)
        if len(tries) == 1:
            folder.rmdir()
        return try_lock(folder)

    monkeypatch.setattr(private_folder, "_try_lock", removed_first)
    made = PrivateFolder(PREFIX)
    assert made.path == tries[1]
    assert made.path.is_dir()
    made.close()


def test_without_locks_there_is_a_folder_nevertheless(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    made = PrivateFolder(PREFIX)
    assert made.path.is_dir()
    assert remove_abandoned(PREFIX) == 0
    made.close()
    assert not made.path.exists()


def test_a_temporary_directory_that_cannot_be_read_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    assert remove_abandoned(PREFIX) == 0
