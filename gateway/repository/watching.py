"""Tells which models of local repositories may have changed, as the system tells of it (inotify).

By `watchfiles`, in a thread of its own: 10,000 models take 0.4 s to begin with and nothing afterwards, where
a look at all of them takes 0.8 s each time. A hint, never the truth: whoever asks looks at everything now
and then, for links, network folders and queues that overflow.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import watchfiles

log = logging.getLogger("gateway.repository")
# It tells of every change, which is nobody's business, and of its own errors.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

_TURN_MS = 200
_DEBOUNCE_MS, _STEP_MS = 50, 20
CLOSE_S = 2.0

Found = Iterable[tuple[object, str]]
Watch = Callable[[Sequence[str], threading.Event], Iterator[Found]]


def system_watch(roots: Sequence[str], stop: threading.Event) -> Iterator[Found]:
    """What changes below `roots`, in sets of (what, path), empty ones while nothing does."""
    return watchfiles.watch(
        *roots,
        watch_filter=None,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=_TURN_MS,
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )


class Watcher:
    """Watches from the second `take` on, until `close`; anew where a root was replaced by another folder.

    Not from the first, which comes at a start: to begin takes as long as half of the first look at all.
    """

    def __init__(self, roots: Iterable[Path], watch: Watch = system_watch) -> None:
        self._roots = tuple(roots)
        self._watch = watch
        self._lock = threading.Lock()
        self._names: set[str] = set()
        # Watching: what changes from now on is told. Sure: and somebody has looked at everything since.
        self._is_watching = self._is_sure = False
        self._marks: tuple[object, ...] = ()
        self._is_first = True
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_failed = False

    def take(self) -> frozenset[str] | None:
        """Models that may have changed since the last call; None where that cannot be told (yet)."""
        if self._is_first:
            self._is_first = False
            return None
        marks = tuple(map(_mark, self._roots))
        if marks != self._marks:
            self._marks = marks
            self._begin(all(marks))
        with self._lock:
            names, self._names = self._names, set()
            is_sure, self._is_sure = self._is_sure, self._is_watching
        return frozenset(names) if is_sure else None

    def close(self) -> None:
        """Nothing is told any more; returns when the thread has ended, a fifth of a second later."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _begin(self, are_there: object) -> None:
        self._stop.set()
        stop = self._stop = threading.Event()
        with self._lock:
            self._is_watching = self._is_sure = False
        if are_there:
            self._thread = threading.Thread(target=self._run, args=(stop,), name="watch", daemon=True)
            self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        roots = [os.path.realpath(root) for root in self._roots]
        try:
            for found in self._watch(roots, stop):
                if stop.is_set():
                    return
                names = {name for _, path in found for root in roots if (name := _model_of(path, root))}
                with self._lock:
                    self._is_watching = True
                    self._names |= names
        except Exception as error:  # ruff: ignore[blind-except] - the library's own, an OSError, out of watches
            self._failed(error)
        finally:
            with self._lock:
                if stop is self._stop:
                    self._is_watching = self._is_sure = False

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            kind = type(error).__name__
            log.warning("changes of the repository are not told (%s): all of it is looked at each time", kind)


def _model_of(path: str, root: str) -> str:
    """The folder in `root` that `path` is, or is in; "" for a path that is not below it, or a hidden one."""
    name = path[len(root) + 1 :].split("/", 1)[0] if path.startswith(f"{root}/") else ""
    return "" if name.startswith(".") else name


def _mark(root: Path) -> tuple[int, int] | None:
    """What tells a folder from another of the same name; None where there is none."""
    try:
        found = os.stat(root)
    except OSError:
        return None
    return found.st_dev, found.st_ino
