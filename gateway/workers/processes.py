"""Direct children on the event loop: started with one control socket, watched by a pidfd, reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable


def describe(code: int | None) -> str:
    """An exit code in words for people: "exit status 3", "SIGKILL"."""
    if code is None:
        return "unknown status"
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def try_reap(pid: int) -> int | None:
    """The exit code of a child that has ended; None while it lives or where it is not our child."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None


def reap_strays(known: Iterable[int]) -> int:
    """Reaps ended children that nobody waits for (orphans left by workers); returns how many."""
    count, kept = 0, frozenset(known)
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        if ended is None or ended.si_pid in kept:
            return count
        os.waitpid(ended.si_pid, os.WNOHANG)
        count += 1


class Process:
    """A direct child made by `launch`, watched by its pidfd; calls `on_exit(code)` once it has ended."""

    def __init__(self, popen: subprocess.Popen[bytes], on_exit: Callable[[int], None]) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._ended)

    @property
    def is_alive(self) -> bool:
        """False from the moment its end was noticed."""
        return self._pidfd >= 0

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Sends a signal; does nothing once it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signum)

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._on_exit(self._popen.wait())


def launch(module: str, control: socket.socket, on_exit: Callable[[int], None], *arguments: str) -> Process:
    """Starts `python -m module <control's fd> <our pid> arguments...` and gives it `control`.

    `control` is closed here. The child has its own process group, so that a Ctrl-C at the terminal
    reaches the controller alone, which then ends the others in order.
    """
    fd = control.fileno()
    with control:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, str(fd), str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(fd,),
            process_group=0,
        )
    return Process(popen, on_exit)
