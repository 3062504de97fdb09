"""Unpacks what somebody sent: tar, gzipped tar or zip, into a folder made for it alone.

The sender is trusted with a model, not with the machine. Only plain files come out, under plain names
that no other file of the archive can reach; what is a link, a device, encrypted, sparse or too much is
refused, and then nothing is left. Python's own `filter="data"` would let links through that stay inside,
and counts no bytes; the readers are its, the rules are ours.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from gateway.core.errors import InvalidInput, TooLarge
from gateway.repository.folder import shown
from gateway.repository.staging import may_carry_code

# <folder>/<folder>/<folder>/<file>
MAX_PARTS = 4
# Weights shrink to a half; zeros to a thousandth. The rest is for archives of a few small files.
_MAX_RATIO = 100
_RATIO_FREE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
# What a reader asks for at once beyond our chunks: a zip's directory, the name in a tar's extended header.
_MAX_READ_BYTES = 1 << 22
_BLOCK_BYTES = 512
# Headers, extended headers and padding of one entry of a tar, and the end of all.
_ENTRY_BYTES = 8 * _BLOCK_BYTES
_PLAIN_TAR = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_PLAIN_ZIP = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# What the readers of the standard library raise for archives that are none, or no longer whole.
_UNSOUND = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,  # with RecursionError: headers that only lead to headers
)


class Limits(NamedTuple):
    """What one archive may hold; `allows_code`: files that some engine, loader or shell would run."""

    max_files: int
    max_bytes: int
    allows_code: bool = False


class Unpacked(NamedTuple):
    """One file that came out; `name` is relative to the folder."""

    name: str
    size_bytes: int
    sha256: str


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def unpack(archive: Path, folder: Path, limits: Limits) -> tuple[Unpacked, ...]:
    """Makes `folder` with the files of `archive`, in order of name; blocks on the disk.

    Must be called with a `folder` that is not there, in one that nobody else can write. Raises
    InvalidInput or TooLarge, or OSError where the disk does, and has then removed `folder`.
    """
    folder.mkdir(mode=0o700)
    try:
        with open(archive, "rb") as file, _refusing():
            target = _Target(folder, limits, os.fstat(file.fileno()).st_size)
            _unpack_any(file, target, limits)
            return target.finish()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def check_place(name: str) -> None:
    """Raises InvalidInput for a name that is not plainly that of a file inside one folder."""
    parts = name.split("/")
    if len(parts) > MAX_PARTS:
        raise InvalidInput(f"'{shown(name)}' has more than {MAX_PARTS} parts")
    if not all(_PART.fullmatch(part) for part in parts):
        raise InvalidInput(
            f"'{shown(name)}': each part must be 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        )


@contextmanager
def _refusing() -> Generator[None, None, None]:
    try:
        yield
    except _UNSOUND as error:
        raise InvalidInput(f"the archive cannot be read ({type(error).__name__})") from None


def _unpack_any(file: IO[bytes], target: _Target, limits: Limits) -> None:
    """The kind is told by the first bytes: names and media types are only what the sender says."""
    magic = file.read(4)
    file.seek(0)
    if magic == b"PK\x03\x04":
        _unpack_zip(file, target)
    elif magic[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file) as inflated:
            _unpack_tar(inflated, target, limits)
    else:
        _unpack_tar(file, target, limits)


def _unpack_tar(file: IO[bytes] | gzip.GzipFile, target: _Target, limits: Limits) -> None:
    """Raises for a tar without its end, too: else one cut off between two files would pass for whole."""
    size_bytes = limits.max_bytes + (2 * limits.max_files + 64) * _ENTRY_BYTES
    bounded = _Bounded(file, size_bytes)
    with tarfile.open(fileobj=bounded, mode="r:") as tar:  # type: ignore[call-overload]
        for entry in tar:
            target.count()
            name = entry.name.removeprefix("./")
            if entry.isdir():
                if name not in {"", "."}:
                    check_place(name)
                continue
            if entry.type not in _PLAIN_TAR or entry.sparse is not None:
                raise InvalidInput(f"'{shown(name)}' is a link, a device or a sparse file")
            content = tar.extractfile(entry)
            if content is not None:
                target.write(name, entry.size, content)
            tar.members.clear()  # else each header is kept
        bounded.seek(tar.offset)
    if bounded.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
        raise InvalidInput("the archive is damaged or cut off")
    while bounded.read(_CHUNK_BYTES):  # to the checksum at the end
        pass


def _unpack_zip(file: IO[bytes], target: _Target) -> None:
    bounded = _Bounded(file, os.fstat(file.fileno()).st_size)
    with zipfile.ZipFile(bounded) as archive:
        for entry in archive.infolist():
            target.count()
            name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
            if name.endswith("/") and kind in {0, stat.S_IFDIR}:
                check_place(name[:-1])
                continue
            if kind not in {0, stat.S_IFREG}:
                raise InvalidInput(f"'{shown(name)}' is a link or a device")
            if entry.flag_bits & 0x1 or entry.compress_type not in _PLAIN_ZIP:
                raise InvalidInput(f"'{shown(name)}' is encrypted, or neither stored nor deflated")
            check_place(name)
            with archive.open(entry) as content:
                target.write(name, entry.file_size, content)


class _Target:
    """The folder that is being filled, and what it has already."""

    def __init__(self, folder: Path, limits: Limits, archive_bytes: int) -> None:
        self._folder = folder
        self._limits = limits
        by_ratio = archive_bytes * _MAX_RATIO + _RATIO_FREE_BYTES
        self._left_bytes = min(limits.max_bytes, by_ratio)
        self._entries = 0
        self._files: list[Unpacked] = []
        # Names as a file system sees them that folds case. Invariant: no name is in both.
        self._names: set[str] = set()
        self._folders: set[str] = set()

    def count(self) -> None:
        """One more entry of any kind; raises TooLarge."""
        self._entries += 1
        if self._entries > 2 * self._limits.max_files:
            raise TooLarge(f"the archive has more than {self._limits.max_files} files, or as many folders")

    def write(self, name: str, size_bytes: int, content: _Readable) -> None:
        """One file, with as many bytes as were promised; raises InvalidInput or TooLarge."""
        self._take(name)
        self._check_left(size_bytes)  # before the first byte, where the archive is honest
        place = self._folder / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        digest, written = hashlib.sha256(), 0
        with open(os.open(place, flags, 0o600), "wb") as file:
            while part := content.read(_CHUNK_BYTES):
                written += len(part)
                self._check_left(written)
                file.write(part)
                digest.update(part)
        if written != size_bytes:
            raise InvalidInput(f"'{shown(name)}' has {written} bytes, the archive says {size_bytes}")
        self._left_bytes -= written
        self._files.append(Unpacked(name, written, digest.hexdigest()))

    def finish(self) -> tuple[Unpacked, ...]:
        """All files, in order of name; raises InvalidInput where there is none."""
        if not self._files:
            raise InvalidInput("the archive has no file")
        return tuple(sorted(self._files))

    def _take(self, name: str) -> None:
        check_place(name)
        if not self._limits.allows_code and may_carry_code(name):
            raise InvalidInput(f"'{shown(name)}': files that can carry code are not taken here")
        if len(self._files) >= self._limits.max_files:
            raise TooLarge(f"the archive has more than {self._limits.max_files} files")
        folded = name.lower()
        parts = folded.split("/")
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        if folded in self._names | self._folders or above & self._names:
            raise InvalidInput(f"'{shown(name)}': two of the files have the same place")
        self._names.add(folded)
        self._folders |= above

    def _check_left(self, size_bytes: int) -> None:
        if size_bytes > self._left_bytes:
            raise TooLarge(
                f"the archive unpacks to more than {self._limits.max_bytes} bytes,"
                f" or {_MAX_RATIO} times its size"
            )


class _Bounded:
    """A file that says no to reads and places that only a hostile header could ask for.

    The standard library reads an extended header at once, whatever size it claims, and goes to whatever
    place a header leads to; backwards, too.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ_BYTES:
            # A zip's reader asks for "all" only of what is left behind its directory.
            if size < 0 and not isinstance(self._file, gzip.GzipFile):
                return self._file.read(_MAX_READ_BYTES)
            raise InvalidInput("the archive has a header that is too large")
        if self._file.tell() + size > self._size_bytes + _MAX_READ_BYTES:
            raise TooLarge("the archive unpacks to more bytes than are taken")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET and not 0 <= offset <= self._size_bytes:
            raise TooLarge("the archive leads to more bytes than are taken")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """The file is its owner's."""
