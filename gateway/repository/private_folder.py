"""A folder in the temporary directory that is ours as long as we live, and whose heirs remove it.

Whoever is killed removes nothing, so the next one to start does. Whether the owner of a folder lives
cannot be told by a process id, which others get, too; a lock on the folder itself ends with its owner
and with nothing else: no child inherits the descriptor.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

# A folder can be taken for one that was left between the making of it and the lock.
_TRIES = 3


class PrivateFolder:
    """Made by the constructor, for us alone, and locked; `close` removes it."""

    def __init__(self, prefix: str) -> None:
        for _ in range(_TRIES):
            # mkdtemp: mode 0700 and a name nobody can guess. Without links, as surveys need it.
            self.path = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
            self._lock = _try_lock(self.path)
            if self._lock >= 0 and self.path.is_dir():
                return
            _unlock(self._lock)
        # A file system without locks: nobody takes this one for left, and nobody removes it but us.
        self._lock = -1
        self.path.mkdir(mode=0o700, exist_ok=True)

    def close(self) -> None:
        """Nothing in it is needed any more."""
        shutil.rmtree(self.path, ignore_errors=True)
        _unlock(self._lock)
        self._lock = -1


def remove_abandoned(prefix: str) -> int:
    """Removes the folders whose owners were killed, and returns how many; blocks on the disk."""
    try:
        names = [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(prefix)]
    except OSError:
        return 0
    return sum(_try_remove(Path(tempfile.gettempdir(), name)) for name in names)


def _try_remove(folder: Path) -> bool:
    lock = _try_lock(folder)
    if lock < 0:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    _unlock(lock)
    return not folder.exists()


def _try_lock(folder: Path) -> int:
    """A descriptor that locks it until it is closed; -1 where it is another's, or another user's."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
    except OSError:
        pass  # somebody has it, or it cannot be locked
    os.close(fd)
    return -1


def _unlock(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
