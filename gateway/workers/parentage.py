"""Whose child a process is, and what happens to it when that parent dies; Linux only, by prctl.

Apart from `processes`, because the zygote needs this and must not import an event loop (5 MB, 30 ms).
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, argument: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def die_with_parent(parent_pid: int, signum: int = signal.SIGKILL) -> None:
    """Must be called early by a direct child: `signum` is sent to it when its parent thread ends.

    Exits at once if the parent has ended before the call, which no signal would tell any more.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent_pid:
        raise SystemExit(1)


def outlive_parent() -> None:
    """Takes `die_with_parent` back."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent dies, so that it can reap them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Sets the name that `ps -o comm` and `top` show; at most 15 bytes of it."""
    _prctl(_PR_SET_NAME, name.encode()[:15] + b"\0")
