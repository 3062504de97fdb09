"""Versions that operators send: staged beside the models, made visible whole by one rename, never changed.

The staging folder lies in the repository itself, since only there a rename is one step; its name begins
with a dot, so no scan looks into it. What a killed gateway has left there the next one removes, but for
uploads that can go on (`resumable`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.core.errors import Conflict, InvalidInput, ModelNotFound
from gateway.core.model import MAX_VERSION, check_name
from gateway.repository.archives import Limits, Unpacked, unpack
from gateway.repository.folder import fingerprint, survey

_STAGING = ".uploads"
RESUMABLE = "resumable-"
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_CHUNK_BYTES = 1 << 20


class Stored(NamedTuple):
    """A version as it lies there; `tag` changes when a file does."""

    tag: str
    files: tuple[tuple[str, int], ...]


class Uploads:
    """One repository that versions may be sent to; one gateway at a time. All methods block on the disk.

    `fault` tells why the files in a folder must not be shown, "" where they may be.
    """

    def __init__(self, root: Path, limits: Limits, fault: Callable[[Path], str] | None = None) -> None:
        self._fault = fault
        self.root = Path(os.path.realpath(root))
        self.staging = self.root / _STAGING
        self._limits = limits

    def remove_abandoned(self) -> None:
        """Must be called before anything is staged: what is there was left by one that was killed."""
        for folder in self.staged():
            if not folder.name.startswith(RESUMABLE):
                self.discard(folder)
        with suppress(OSError):  # not there, or not empty
            self.staging.rmdir()

    def staged(self) -> list[Path]:
        """All that is staged now."""
        try:
            return [self.staging / name for name in os.listdir(self.staging)]
        except FileNotFoundError:
            return []

    def new_folder(self, name: str = "") -> Path:
        """A folder for one upload, by default with a name nobody can guess; `discard` it in the end."""
        self.staging.mkdir(mode=0o700, exist_ok=True)
        if self.staging.is_symlink():
            raise InvalidInput(f"'{_STAGING}' in the repository is a link")
        folder = self.staging / (name or secrets.token_hex(16))
        folder.mkdir(mode=0o700)
        return folder

    def discard(self, folder: Path) -> None:
        """Nothing in it is needed any more; harmless when repeated."""
        shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, archive: Path, model: str, version: int) -> bool:
        """Unpacks `archive` in `folder` and shows it as that version; False: it is there, the same.

        Raises InvalidInput, TooLarge, or Conflict where the version is there with other files; a version
        is what it was from its first moment to its last.
        """
        self._place(model, version)
        files = unpack(archive, folder / "version", self._limits)
        return self.show(folder / "version", files, model, version)

    def show(self, folder: Path, files: Sequence[Unpacked], model: str, version: int) -> bool:
        """Shows `folder`, which has exactly these files, as that version; returns and raises as `publish`."""
        place = self._place(model, version)
        if self._fault is not None and (fault := self._fault(folder)):
            raise InvalidInput(f"the version's signature is not accepted: {fault}")
        _make_readable(folder)
        place.parent.mkdir(exist_ok=True)
        try:
            os.rename(folder, place)  # takes the place of an empty folder, and of nothing else
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            if _is_same(place, files):
                return False
            raise Conflict(f"version {version} of '{model}' is there already, with other files") from None
        sync(place.parent)
        sync(self.root)
        return True

    def look(self, model: str, version: int) -> Stored:
        """Raises ModelNotFound; FolderRefused for a folder that no scan would take either."""
        place = self._place(model, version)
        if not place.is_dir():
            raise ModelNotFound(f"there is no version {version} of '{model}' in this repository")
        stamps = survey(str(place), str(self.root))
        return Stored(
            fingerprint(repr(stamps).encode()), tuple((stamp.name, stamp.size_bytes) for stamp in stamps)
        )

    def remove(self, model: str, version: int) -> None:
        """Gone in one step, then the files; workers that have them open keep them. Raises ModelNotFound."""
        place, folder = self._place(model, version), self.new_folder()
        try:
            os.rename(place, folder / "removed")
            sync(place.parent)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFound(f"there is no version {version} of '{model}' in this repository") from None
        finally:
            self.discard(folder)

    def _place(self, model: str, version: int) -> Path:
        if not 0 < version <= MAX_VERSION:
            raise InvalidInput("a model version is an integral value > 0")
        return self.folder_of(model) / str(version)

    def folder_of(self, model: str) -> Path:
        """The model's folder, there or not; raises InvalidInput for a name that is none, or a link's."""
        folder = self.root / check_name(model)
        if folder.is_symlink():
            raise InvalidInput(f"the folder of '{model}' is a link: nothing can be sent through it")
        return folder


def _make_readable(folder: Path) -> None:
    """As the operator's own files are, and on the disk before the name is."""
    for path, _, names in os.walk(folder):
        os.chmod(path, 0o755)
        for name in names:
            os.chmod(f"{path}/{name}", 0o644)
            sync(Path(path, name))
        sync(Path(path))


def sync(path: Path) -> None:
    """What was written there is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_same(place: Path, files: Sequence[Unpacked]) -> bool:
    if place.is_symlink() or not place.is_dir():
        return False
    there = {stamp.name: stamp.size_bytes for stamp in survey(str(place), str(place))}
    if there != {file.name: file.size_bytes for file in files}:
        return False
    return all(sha256_of(place / file.name) == file.sha256 for file in files)


def sha256_of(path: Path) -> str:
    """The file's digest, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_CHUNK_BYTES):
            digest.update(part)
    return digest.hexdigest()
