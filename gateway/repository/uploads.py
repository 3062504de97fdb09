"""Versions that operators send: staged beside the models, made visible whole by one rename, never changed.

The staging folder lies in the repository itself, since only there a rename is one step; its name begins
with a dot, so no scan looks into it. What a killed gateway has left there the next one removes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.core.errors import Conflict, InvalidInput, ModelNotFound
from gateway.core.model import MAX_VERSION, check_name
from gateway.repository.archives import Limits, Unpacked, unpack
from gateway.repository.folder import fingerprint, survey

_STAGING = ".uploads"
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_CHUNK_BYTES = 1 << 20


class Stored(NamedTuple):
    """A version as it lies there; `tag` changes when a file does."""

    tag: str
    files: tuple[tuple[str, int], ...]


class Uploads:
    """One repository that versions may be sent to; one gateway at a time. All methods block on the disk."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = Path(os.path.realpath(root))
        self._limits = limits

    def remove_abandoned(self) -> None:
        """Must be called before anything is staged: what is there was left by one that was killed."""
        shutil.rmtree(self._root / _STAGING, ignore_errors=True)

    def new_folder(self) -> Path:
        """A folder for one upload, with a name nobody can guess; `discard` it in the end."""
        staging = self._root / _STAGING
        staging.mkdir(mode=0o700, exist_ok=True)
        if staging.is_symlink():
            raise InvalidInput(f"'{_STAGING}' in the repository is a link")
        folder = staging / secrets.token_hex(16)
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
        place = self._place(model, version)
        files = unpack(archive, folder / "version", self._limits)
        _make_readable(folder / "version")
        place.parent.mkdir(exist_ok=True)
        try:
            os.rename(folder / "version", place)  # takes the place of an empty folder, and of nothing else
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            if _is_same(place, files):
                return False
            raise Conflict(f"version {version} of '{model}' is there already, with other files") from None
        _sync(place.parent)
        _sync(self._root)
        return True

    def look(self, model: str, version: int) -> Stored:
        """Raises ModelNotFound; FolderRefused for a folder that no scan would take either."""
        place = self._place(model, version)
        if not place.is_dir():
            raise ModelNotFound(f"there is no version {version} of '{model}' in this repository")
        stamps = survey(str(place), str(self._root))
        return Stored(
            fingerprint(repr(stamps).encode()), tuple((stamp.name, stamp.size_bytes) for stamp in stamps)
        )

    def remove(self, model: str, version: int) -> None:
        """Gone in one step, then the files; workers that have them open keep them. Raises ModelNotFound."""
        place, folder = self._place(model, version), self.new_folder()
        try:
            os.rename(place, folder / "removed")
            _sync(place.parent)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFound(f"there is no version {version} of '{model}' in this repository") from None
        finally:
            self.discard(folder)

    def _place(self, model: str, version: int) -> Path:
        if not 0 < version <= MAX_VERSION:
            raise InvalidInput("a model version is an integral value > 0")
        folder = self._root / check_name(model)
        if folder.is_symlink():
            raise InvalidInput(f"the folder of '{model}' is a link: nothing can be sent through it")
        return folder / str(version)


def _make_readable(folder: Path) -> None:
    """As the operator's own files are, and on the disk before the name is."""
    for path, _, names in os.walk(folder):
        os.chmod(path, 0o755)
        for name in names:
            os.chmod(f"{path}/{name}", 0o644)
            _sync(Path(path, name))
        _sync(Path(path))


def _sync(path: Path) -> None:
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
    return all(_sha256(place / file.name) == file.sha256 for file in files)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_CHUNK_BYTES):
            digest.update(part)
    return digest.hexdigest()
