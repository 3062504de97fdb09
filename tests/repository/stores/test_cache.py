"""Files kept by content: whole or not there, within a bound, never from under somebody's feet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.repository.stores.cache import Cache, Download, DownloadFailed


def opened(root: Path, max_bytes: int = 1 << 30) -> Cache:
    cache = Cache(root, max_bytes)
    cache.open()
    return cache


def files(**contents: bytes) -> list[Download]:
    return [Download(path.replace("__", "/"), [data], len(data)) for path, data in contents.items()]


def blobs(root: Path) -> int:
    return len(list((root / "blobs").iterdir()))


def test_what_is_put_is_there_whole_and_once(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    assert cache.hold("a") is None
    folder = cache.put("a", files(model=b"weights", sub__x=b"more"))
    assert (folder / "model").read_bytes() == b"weights"
    assert (folder / "sub" / "x").read_bytes() == b"more"
    cache.put("b", files(model=b"weights"))
    assert blobs(tmp_path) == 2, "what both have is there once"
    assert cache.hold("a") == folder
    assert list((tmp_path / "partial").iterdir()) == []


def broken() -> Iterator[bytes]:
    yield b"half"
    raise OSError("the line is dead")


@pytest.mark.parametrize(
    ("download", "error"),
    [
        (Download("x", [b"short"], 100), DownloadFailed),
        (Download("x", [b"long" * 100], 10), DownloadFailed),
        (Download("x", [b"data"], 4, "ab" * 32), DownloadFailed),
        (Download("x", broken(), 8), OSError),
    ],
)
def test_what_does_not_come_whole_is_not_there(
    tmp_path: Path, download: Download, error: type[Exception]
) -> None:
    cache = opened(tmp_path)
    with pytest.raises(error):
        cache.put("a", [*files(model=b"weights"), download])
    assert cache.hold("a") is None
    assert list((tmp_path / "partial").iterdir()) == []


def test_the_least_recently_used_goes_first_and_never_what_is_held(tmp_path: Path) -> None:
    cache = opened(tmp_path, 250)
    for number, mark in enumerate("abc"):
        cache.put(mark, files(model=mark.encode() * 100))
        os.utime(tmp_path / "versions" / mark, (number, number))
        if mark != "a":
            cache.release(mark)
    assert cache.hold("b") is None, "it had to go for c, though a is older: a is in use"
    assert blobs(tmp_path) == 2
    cache.put("d", files(model=b"d" * 100))
    assert sorted(one.name for one in (tmp_path / "versions").iterdir()) == ["a", "d"]
    cache.release("a")
    cache.release("d")
    cache.put("e", files(model=b"e" * 200))
    assert [one.name for one in (tmp_path / "versions").iterdir()] == ["e"]


def test_held_twice_is_released_twice(tmp_path: Path) -> None:
    cache = opened(tmp_path, 1)
    cache.put("a", files(model=b"a" * 100))
    cache.hold("a")
    cache.release("a")
    cache.shrink()
    assert (tmp_path / "versions" / "a").is_dir()
    cache.release("a")
    cache.shrink()
    assert not (tmp_path / "versions" / "a").exists()


_HOLD = """
import sys
from pathlib import Path
from gateway.repository.stores.cache import Cache
Cache(Path(sys.argv[1]), 1).hold("a")
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_keeps_what_it_uses(tmp_path: Path) -> None:
    cache = opened(tmp_path, 1)
    cache.put("a", files(model=b"a" * 100))
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        cache.release("a")
        cache.shrink()
        assert (tmp_path / "versions" / "a").is_dir()
        other.kill()
    cache.shrink()
    assert not (tmp_path / "versions" / "a").exists()


def test_two_that_bring_the_same_at_once_have_the_same(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    first = one.put("a", files(model=b"weights"))
    assert other.put("a", files(model=b"weights")) == first
    assert blobs(tmp_path) == 1


def test_what_a_killed_download_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    opened(tmp_path)
    old, new = tmp_path / "partial" / "old", tmp_path / "partial" / "new"
    for folder in (old, new):
        (folder / "version").mkdir(parents=True)
    os.utime(old, (1, 1))
    cache = opened(tmp_path)
    assert not old.exists()
    assert new.exists(), "another gateway may be at it"
    assert cache.hold("version") is None
