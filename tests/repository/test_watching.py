"""Who tells of changes: the real system, and one that does what the test says."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gateway.repository.watching import Found, Watcher
from tests.fakes.waiting import until_blocking


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "models" / "a" / "1").mkdir(parents=True)
    (tmp_path / "models" / "b" / "1").mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def watcher(root: Path) -> Generator[Watcher]:
    made = Watcher([root])
    assert made.take() is None, "nobody has looked yet"
    assert threading.active_count() == 1 or all(one.name != "watch" for one in threading.enumerate())
    until_blocking(lambda: made.take() is not None)
    yield made
    made.close()


def told(watcher: Watcher) -> set[str]:
    """All that is told until something is."""
    names: set[str] = set()

    def more() -> bool:
        names.update(watcher.take() or ())
        return bool(names)

    until_blocking(more)
    return names


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a new file": (lambda root: (root / "a" / "1" / "model.onnx").write_bytes(b"x"), {"a"}),
    "a configuration": (lambda root: (root / "b" / "config.pbtxt").write_text(""), {"b"}),
    "a new model": (lambda root: (root / "c").mkdir(), {"c"}),
    "a new version": (lambda root: (root / "a" / "2").mkdir(), {"a"}),
    "a removed version": (lambda root: (root / "a" / "1").rmdir(), {"a"}),
    "a renamed model": (lambda root: (root / "a").rename(root / "z"), {"a", "z"}),
    "a mode": (lambda root: (root / "a" / "1").chmod(0o700), {"a"}),
    "a time": (lambda root: os.utime(root / "b" / "1"), {"b"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_is_told(watcher: Watcher, root: Path, change: str) -> None:
    make, expected = CHANGES[change]
    make(root)
    names = told(watcher)
    until_blocking(lambda: names.update(watcher.take() or ()) or names >= expected)
    assert names == expected


def test_what_is_within_a_new_folder_is_told(watcher: Watcher, root: Path) -> None:
    (root / "c" / "1").mkdir(parents=True)
    assert told(watcher) == {"c"}
    until_blocking(lambda: not watcher.take())
    (root / "c" / "1" / "model.onnx").write_bytes(b"x")
    assert told(watcher) == {"c"}


def test_a_root_that_was_replaced_is_watched_anew(watcher: Watcher, root: Path) -> None:
    root.rename(root.with_name("old"))
    assert watcher.take() is None, "it is not there"
    assert watcher.take() is None
    (root / "a" / "1").mkdir(parents=True)
    until_blocking(lambda: watcher.take() is not None)
    (root / "a" / "1" / "model.onnx").write_bytes(b"x")
    assert "a" in told(watcher)


class Told:
    """Tells what the test puts in; an exception is raised."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.roots: list[Sequence[str]] = []

    def watch(self, roots: Sequence[str], stop: threading.Event) -> Iterator[Found]:
        self.roots.append(roots)
        while not stop.is_set():
            found = self.queue.get()
            if isinstance(found, Exception):
                raise found
            yield found


def test_paths_are_taken_for_the_models_they_are_in(root: Path) -> None:
    told_, real = Told(), os.path.realpath(root)
    paths = [f"{real}/a/1/x", f"{real}/b", real, f"{real}-other/c", f"{real}/.uploads/x", "/d"]
    watcher = Watcher([root], told_.watch)
    assert watcher.take() is None
    told_.queue.put([])
    until_blocking(lambda: watcher.take() is not None)
    told_.queue.put([(1, path) for path in paths])
    assert told(watcher) == {"a", "b"}
    watcher.close()


def test_one_that_cannot_watch_says_so_once_and_all_is_looked_at(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told_ = Told()
    watcher = Watcher([root], told_.watch)
    with caplog.at_level(logging.WARNING):
        watcher.take()
        watcher.take()
        told_.queue.put([])
        until_blocking(lambda: watcher.take() is not None)
        told_.queue.put(OSError(28, "No space left on device"))
        until_blocking(lambda: watcher.take() is None)
    assert [one.getMessage() for one in caplog.records] == [
        "changes of the repository are not told (OSError): all of it is looked at each time"
    ]
    assert watcher.take() is None
