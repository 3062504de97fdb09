"""Virtual environments of peers and clients whose pins conflict with ours, made from hash-locked files."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_VENVS = Path(".venvs")
_LOCKS = Path("requirements")


class Missing(Exception):
    """Something that must be installed first; the text says what and how."""


def environment(name: str, lock_name: str) -> Path:
    """The folder .venvs/<name> with exactly requirements/<lock_name>.lock in it, made where it is not.

    Raises Missing where it cannot be made. Takes minutes the first time.
    """
    lock, venv = _LOCKS / f"{lock_name}.lock", (_VENVS / name).absolute()
    if not lock.is_file():
        raise Missing(f"{lock} is not there")
    wanted, stamp = hashlib.sha256(lock.read_bytes()).hexdigest(), venv / ".locked"
    _VENVS.mkdir(exist_ok=True)
    # Two runs of the tests may want it at once.
    with open(_VENVS / f"{name}.making", "w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            _make(venv, lock)
            stamp.write_text(wanted)
    return venv


def _make(venv: Path, lock: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    install = "-m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r"
    _run([sys.executable, "-m", "venv", str(venv)])
    _run([str(venv / "bin" / "python"), *install.split(), str(lock)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(command)}:\n{done.stderr[-2000:]}")
