"""Files that a caller sends with a load, put where a model can be loaded from.

Whoever may send them is trusted with a model, not with the machine: the names are plain, the folder is
of our own making and nobody else's, and only files that hold data are taken. What a file is for is
decided by its engine, so engines that run what they are given are refused elsewhere (`DATA_ENGINES`).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from gateway.core.errors import InvalidInput
from gateway.repository.folder import shown
from gateway.repository.formats import FORMATS
from gateway.repository.private_folder import PrivateFolder, remove_abandoned
from gateway.repository.versions import parse_folder

_PREFIX = "gateway-loads-"
MAX_FILES = 64
# <version>/<folder>/<folder>/<file>
MAX_PARTS = 4

# Backends whose model files are data: loading one runs nothing that stands in it.
_CODE_ENGINES = frozenset({one.backend for one in FORMATS if one.carries_code})
DATA_ENGINES = frozenset({one.backend for one in FORMATS}) - _CODE_ENGINES
# Endings of files that some engine, loader or shell would run.
_CODE = frozenset({
    *(".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".exe", ".bat", ".jar", ".lua", ".js", ".wasm"),
    *(".pkl", ".pickle", ".joblib", ".pt", ".pth", ".pt2", ".ckpt", ".plan", ".engine"),
})
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class File(Protocol):
    """A file that was sent."""

    @property
    def path(self) -> str:
        """ "<version>/<name>"."""

    @property
    def content(self) -> bytes: ...


def check_paths(paths: Sequence[str]) -> None:
    """Raises InvalidInput where one of them could be anything but a data file of a version, or two clash."""
    if len(paths) > MAX_FILES:
        raise InvalidInput(f"{len(paths)} files were sent, at most {MAX_FILES} are taken")
    for path in paths:
        _check_path(path)
    folders = {folder for path in paths for folder in _folders(path.lower())}
    folded = [path.lower() for path in paths]
    if len(set(folded)) < len(folded) or folders & set(folded):
        raise InvalidInput("Invalid file path: two of the files sent have the same place")


def _check_path(path: str) -> None:
    parts = path.split("/")
    problem = ""
    if not all(_PART.fullmatch(part) for part in parts):
        problem = "each part must be 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or digit"
    elif len(parts) < 2 or parse_folder(parts[0]) is None:
        problem = "it must begin with a version, as in 'file:1/model.onnx'"
    elif len(parts) > MAX_PARTS:
        problem = f"it has more than {MAX_PARTS} parts"
    elif may_carry_code(path):
        problem = "files that can carry code are not taken"
    if problem:
        raise InvalidInput(f"Invalid file path '{shown(path)}': {problem}")


def may_carry_code(path: str) -> bool:
    """Whether some engine, loader or shell would run a file of this name."""
    name = path.rpartition("/")[2]
    return any(f".{part}" in _CODE for part in name.lower().split(".")[1:])


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


class Staging:
    """The folder of such files: made when the first ones come, readable by us alone, removed by `close`."""

    def __init__(self) -> None:
        self._folder: PrivateFolder | None = None

    @staticmethod
    def remove_abandoned() -> int:
        """Removes what gateways have left that were killed, and returns how many; blocks on the disk."""
        return remove_abandoned(_PREFIX)

    def put(self, model: str, files: Sequence[File]) -> str:
        """A new repository with `model` alone, of files that `check_paths` has passed; blocks on the disk."""
        if self._folder is None:
            self._folder = PrivateFolder(_PREFIX)
        repository = Path(tempfile.mkdtemp(dir=self._folder.path))
        try:
            for file in files:
                place = repository / model / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                _write(place, file.content)
        except BaseException:
            self.remove(str(repository))
            raise
        return str(repository)

    def remove(self, repository: str) -> None:
        """What `put` has made is not needed any more; harmless when repeated."""
        shutil.rmtree(repository, ignore_errors=True)

    def close(self) -> None:
        """Nothing of it is needed any more."""
        if self._folder is not None:
            self._folder.close()
            self._folder = None


def _write(place: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(place, flags, 0o600), "wb") as file:
        file.write(content)
