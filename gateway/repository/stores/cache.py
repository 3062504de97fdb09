"""Files of stores on this machine's disk: by content, so that what versions share is there once.

    blobs/<sha256>              each file once
    versions/<mark>/<path>      hard links to blobs; appears by one rename, whole
    partial/<random>/           what is being downloaded; removed at the start
    locks/<mark>                held shared while a version is in use

Safe with several gateways on one folder and with a kill at any moment: nothing is changed in place, and what
is not complete is in `partial`. What is used least recently goes first when the bound is passed, never what
somebody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import NamedTuple

_OLD_S = 24 * 3600.0


class Download(NamedTuple):
    """A file to be had: its path within the version, its parts, and what it must turn out to be.

    `sha256` is "" where nobody has told.
    """

    path: str
    parts: Iterable[bytes]
    size_bytes: int
    sha256: str = ""


class DownloadFailed(Exception):
    """What came is not what was listed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Cache:
    """One folder; every method blocks, and may be called from several threads."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._guard = threading.Lock()
        # Invariant: an open, shared lock for every version that is in use, with how often it is.
        self._held: dict[str, tuple[int, int]] = {}

    def open(self) -> None:
        """Makes the folders, and removes what downloads that were killed have left a day ago."""
        for name in ("blobs", "versions", "partial", "locks"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        newest = max((entry.stat().st_mtime for entry in self._root.iterdir()), default=0.0)
        for left in (self._root / "partial").iterdir():
            with contextlib.suppress(OSError):
                if newest - left.stat().st_mtime > _OLD_S:
                    shutil.rmtree(left, ignore_errors=True)

    def hold(self, mark: str) -> Path | None:
        """The version's folder, kept until `release`; None where it is not here."""
        folder = self._root / "versions" / mark
        with self._guard:
            self._lock(mark)
            if folder.is_dir():
                os.utime(folder)
                return folder
            self._unlock(mark)
            return None

    def put(self, mark: str, downloads: Iterable[Download]) -> Path:
        """Downloads a version and holds it as `hold` does; raises DownloadFailed, OSError."""
        with tempfile.TemporaryDirectory(dir=self._root / "partial") as partial:
            for download in downloads:
                self._take(Path(partial), download)
            whole = Path(partial, "version")
            whole.mkdir(exist_ok=True)
            with self._guard:
                self._lock(mark)
                # Somebody else may have been faster: theirs is the same.
                with contextlib.suppress(OSError):
                    whole.rename(self._root / "versions" / mark)
        folder = self._root / "versions" / mark
        os.utime(folder)
        self.shrink()
        return folder

    def release(self, mark: str) -> None:
        """Nobody here uses the version any more, as far as one `hold` or `put` goes."""
        with self._guard:
            self._unlock(mark)

    def shrink(self) -> None:
        """Removes versions, the least recently used first, until the bound is kept or all are in use."""
        with self._guard:
            ordered = sorted(
                (self._root / "versions").iterdir(), key=lambda folder: (folder.stat().st_mtime, folder.name)
            )
            for folder in ordered:
                if self._size() <= self._max_bytes:
                    return
                if folder.name not in self._held and self._is_free(folder.name):
                    shutil.rmtree(folder, ignore_errors=True)
                    self._drop_unused_blobs()

    def _take(self, partial: Path, download: Download) -> None:
        """Writes one file, and links it into the version that is being made."""
        target = partial / "version" / download.path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        arriving = partial / "arriving"
        with arriving.open("wb") as file:
            for part in download.parts:
                size += len(part)
                if size > download.size_bytes:
                    break
                digest.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if size != download.size_bytes:
            raise DownloadFailed(f"a file came with another size than {download.size_bytes} bytes")
        found = digest.hexdigest()
        if download.sha256 and found != download.sha256.lower():
            raise DownloadFailed("a file does not have the digest that its manifest says")
        blob = self._root / "blobs" / found
        try:
            os.link(blob, target)  # somebody has brought the same before
        except FileNotFoundError:
            os.link(arriving, target)
            with contextlib.suppress(FileExistsError):
                os.link(arriving, blob)
        arriving.unlink()

    def _size(self) -> int:
        return sum(entry.stat().st_size for entry in (self._root / "blobs").iterdir())

    def _drop_unused_blobs(self) -> None:
        for blob in (self._root / "blobs").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if blob.stat().st_nlink == 1:
                    blob.unlink()

    def _lock(self, mark: str) -> None:
        fd, times = self._held.get(mark, (-1, 0))
        if fd < 0:
            fd = os.open(self._root / "locks" / mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_SH)
        self._held[mark] = fd, times + 1

    def _unlock(self, mark: str) -> None:
        fd, times = self._held.pop(mark, (-1, 0))
        if times > 1:
            self._held[mark] = fd, times - 1
        elif fd >= 0:
            os.close(fd)

    def _is_free(self, mark: str) -> bool:
        """True where no other process holds it either."""
        with self._locked_alone(mark) as is_alone:
            return is_alone

    @contextlib.contextmanager
    def _locked_alone(self, mark: str) -> Generator[bool]:
        fd = os.open(self._root / "locks" / mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)
