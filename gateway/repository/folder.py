"""Reading a folder that may hold links out of it, devices, or half of what it will hold.

Whatever an engine may open later is looked at here first: it must be a regular file with one name,
inside the repository once every link is resolved. An engine opens by path, so somebody who can write
to the repository at that moment can still swap a file: the folder is the operator's, and this guards
against mistakes and unpacked archives, not against a second root user.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import NamedTuple

# A version is one file, or one with its weights beside it; a thousand times that is a mistake.
MAX_FILES = 4096
MAX_DEPTH = 8

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderRefused(Exception):
    """Why a file or folder is not read: one line, file names only."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Stamp(NamedTuple):
    """Changes when a file does; `name` is relative to the folder surveyed."""

    name: str
    size_bytes: int
    mtime_ns: int
    inode: int


def shown(name: str) -> str:
    """A file's name for people: printable ASCII, at most 80 characters."""
    text = ascii(name)[1:-1]
    return text if len(text) <= 80 else f"{text[:77]}..."


def why(error: OSError) -> str:
    """What the system says is wrong, without the path it says it of."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def resolve(path: str, root: str) -> str:
    """`path` without links; raises FolderRefused where it leaves `root`.

    Must be called with a `root` and a parent folder that are free of links: then one look at the last
    name does, where realpath would look at each.
    """
    if not os.path.islink(path):
        return path
    real = os.path.realpath(path)
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        raise FolderRefused(f"'{shown(os.path.basename(path))}' is a link that leaves the repository")
    return real


def check_regular(name: str, info: os.stat_result) -> None:
    """Raises FolderRefused for anything but a file with one name: a second one may lie anywhere."""
    if not stat.S_ISREG(info.st_mode):
        raise FolderRefused(f"'{shown(name)}' is not a regular file")
    if info.st_nlink > 1:
        raise FolderRefused(f"'{shown(name)}' is a hard link ({info.st_nlink} names): copy it instead")


def read_whole(path: str, root: str, limit_bytes: int) -> bytes | None:
    """A small file, None where there is none; raises FolderRefused or OSError.

    At most `limit_bytes` + 1 bytes come back. Never waits: a FIFO is opened, looked at, and refused.
    """
    name = os.path.basename(path)
    try:
        descriptor = os.open(resolve(path, root), _OPEN)
    except FileNotFoundError:
        if os.path.islink(path):
            raise FolderRefused(f"'{shown(name)}' is a link to nothing") from None
        return None
    except OSError as error:
        # ENXIO: a socket, or a device without a driver. ELOOP: links in a circle.
        if error.errno in {errno.ENXIO, errno.ELOOP}:
            raise FolderRefused(f"'{shown(name)}' is not a regular file") from None
        raise
    try:
        check_regular(name, os.fstat(descriptor))
        return _read_up_to(descriptor, limit_bytes + 1)
    finally:
        os.close(descriptor)


def _read_up_to(descriptor: int, size_bytes: int) -> bytes:
    parts: list[bytes] = []
    while size_bytes and (part := os.read(descriptor, size_bytes)):
        parts.append(part)
        size_bytes -= len(part)
    return b"".join(parts)


def survey(folder: str, root: str) -> tuple[Stamp, ...]:
    """Every file under `folder` in order of name; raises FolderRefused or OSError.

    Links to folders are followed (depth and number bound a circle), all others resolved: none may
    leave `root`.
    """
    stamps: list[Stamp] = []
    pending, seen = [(folder, "", 1)], 0
    while pending:
        path, prefix, depth = pending.pop()
        for name in os.listdir(path):
            seen += 1
            if seen > MAX_FILES or depth > MAX_DEPTH:
                raise FolderRefused(f"holds more than {MAX_FILES} files or {MAX_DEPTH} levels of folders")
            real = resolve(f"{path}/{name}", root)
            info = os.lstat(real)
            if stat.S_ISDIR(info.st_mode):
                pending.append((real, f"{prefix}{name}/", depth + 1))
            else:
                check_regular(name, info)
                stamps.append(Stamp(prefix + name, info.st_size, info.st_mtime_ns, info.st_ino))
    return tuple(sorted(stamps))


def fingerprint(data: bytes) -> str:
    """32 hex digits that differ where `data` does."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
