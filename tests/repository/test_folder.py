from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.repository import folder
from gateway.repository.folder import FolderRefused, fingerprint, read_whole, resolve, shown, survey, why


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository in a folder that also holds a secret."""
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "repository"
    inside.mkdir()
    return inside


def refusal(call: Callable[[], object], root: Path) -> str:
    with pytest.raises(FolderRefused) as caught:
        call()
    assert str(root.parent) not in caught.value.text
    return caught.value.text


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path has 108 bytes at most
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def hard_link(path: Path) -> None:
    path.hardlink_to(path.parents[path.parts[::-1].index("repository")] / "secret")


def link_out(path: Path) -> None:
    path.symlink_to(
        os.path.relpath(path.parents[path.parts[::-1].index("repository")] / "secret", path.parent)
    )


def link_out_absolute(path: Path) -> None:
    path.symlink_to(path.parents[path.parts[::-1].index("repository")] / "secret")


def link_to_neighbour(path: Path) -> None:
    """A folder whose name only begins like the repository's."""
    outside = path.parents[path.parts[::-1].index("repository")] / "repository-2"
    outside.mkdir()
    (outside / "file").write_text("secret")
    path.symlink_to(outside / "file")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def folder_instead(path: Path) -> None:
    path.mkdir()


HOSTILE = {
    fifo: "'file' is not a regular file",
    bound_socket: "'file' is not a regular file",
    device: "'file' is a link that leaves the repository",
    hard_link: "'file' is a hard link (2 names): copy it instead",
    link_out: "'file' is a link that leaves the repository",
    link_out_absolute: "'file' is a link that leaves the repository",
    link_to_neighbour: "'file' is a link that leaves the repository",
    circle: "'file' is not a regular file",
}


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_files_are_not_read(root: Path, make: Callable[[Path], None]) -> None:
    make(root / "file")
    assert refusal(lambda: read_whole(f"{root}/file", str(root), 10), root) == HOSTILE[make]


@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_files_refuse_their_folder(root: Path, make: Callable[[Path], None]) -> None:
    (root / "good").write_text("x")
    make(root / "file")
    assert refusal(lambda: survey(str(root), str(root)), root) == HOSTILE[make]


def test_a_folder_is_no_file_to_read(root: Path) -> None:
    folder_instead(root / "file")
    assert refusal(lambda: read_whole(f"{root}/file", str(root), 10), root) == "'file' is not a regular file"


def test_a_file_is_read_up_to_one_byte_over_the_limit(root: Path) -> None:
    (root / "file").write_bytes(b"0123456789")
    for limit, expected in ((20, b"0123456789"), (10, b"0123456789"), (9, b"0123456789"), (4, b"01234")):
        assert read_whole(f"{root}/file", str(root), limit) == expected


def test_no_file_is_nothing_but_a_link_to_nothing_is_refused(root: Path) -> None:
    assert read_whole(f"{root}/file", str(root), 10) is None
    (root / "file").symlink_to("gone")
    assert refusal(lambda: read_whole(f"{root}/file", str(root), 10), root) == "'file' is a link to nothing"


def test_links_inside_are_followed(root: Path) -> None:
    (root / "data").mkdir()
    (root / "data" / "real").write_bytes(b"x")
    (root / "file").symlink_to("data/real")
    assert read_whole(f"{root}/file", str(root), 10) == b"x"
    assert resolve(f"{root}/file", str(root)) == f"{root}/data/real"
    assert [stamp.name for stamp in survey(str(root), str(root))] == ["data/real", "file"]


def test_a_repository_at_the_root_of_the_file_system_contains_everything(root: Path) -> None:
    (root / "link").symlink_to("../secret")
    assert resolve(f"{root}/link", "/") == str(root.parent / "secret")


def test_a_survey_stamps_every_file_in_order(root: Path) -> None:
    (root / "b").write_bytes(b"22")
    (root / "a").mkdir()
    (root / "a" / "c").write_bytes(b"1")
    os.utime(root / "b", ns=(5, 7))
    stamps = survey(str(root), str(root))
    assert [(stamp.name, stamp.size_bytes) for stamp in stamps] == [("a/c", 1), ("b", 2)]
    assert stamps[1].mtime_ns == 7
    assert stamps[1].inode == (root / "b").stat().st_ino


@pytest.mark.parametrize("change", ["size", "time", "inode", "name", "more"])
def test_a_survey_sees_each_change(root: Path, change: str) -> None:
    path = root / "file"
    path.write_bytes(b"12")
    os.utime(path, ns=(0, 1000))
    before = survey(str(root), str(root))
    if change == "size":
        path.write_bytes(b"123")
    elif change == "name":
        path.rename(root / "other")
    elif change == "more":
        (root / "weights").write_bytes(b"")
    elif change == "inode":
        (root / "new").write_bytes(b"34")
        (root / "new").replace(path)
    if change != "time":
        os.utime(next(iter(sorted(root.iterdir()))), ns=(0, 1000))
    else:
        os.utime(path, ns=(0, 1001))
    assert survey(str(root), str(root)) != before


def test_a_circle_of_folders_ends(root: Path) -> None:
    (root / "loop").symlink_to(".")
    assert "levels of folders" in refusal(lambda: survey(str(root), str(root)), root)


def test_too_many_files_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_FILES", 3)
    for name in "abc":
        (root / name).touch()
    assert len(survey(str(root), str(root))) == 3
    (root / "d").touch()
    assert refusal(lambda: survey(str(root), str(root)), root).startswith("holds more than 3 files")


def test_a_folder_that_is_gone_is_the_systems_error(root: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        survey(str(root / "gone"), str(root))


def test_errors_are_shown_without_paths() -> None:
    assert why(PermissionError(13, "x", "/a/b")) == "Permission denied"
    assert why(OSError("/a/b")) == "OSError"


@given(st.text())
def test_any_name_can_be_shown(name: str) -> None:
    text = shown(name)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 80


def test_names_that_are_no_text_can_be_shown() -> None:
    assert shown(os.fsdecode(b"a\xff\n")) == "a\\udcff\\n"


@given(st.binary(), st.binary())
def test_fingerprints_tell_apart(one: bytes, other: bytes) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert len(fingerprint(one)) == 32
