"""Children with one control socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import pytest

from gateway.workers.processes import Process, describe, launch, reap_strays, try_reap
from tests.fakes.waiting import until, until_blocking


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "unknown status"),
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-9, "SIGKILL"),
        (-99, "signal 99"),
    ],
)
def test_an_end_in_words(code: int | None, text: str) -> None:
    assert describe(code) == text


def test_a_launched_module_has_its_socket_and_its_own_group_and_its_end_is_told() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        codes: list[int] = []
        process = launch("tests.fakes.told_arguments", theirs, codes.append, "extra")
        assert process.is_alive
        assert os.getpgid(process.pid) == process.pid
        ours.setblocking(False)
        told = await asyncio.get_running_loop().sock_recv(ours, 1000)
        assert told == f"{os.getpid()} extra".encode()
        process.kill(signal.SIGTERM)
        await until(lambda: codes)
        assert codes == [-signal.SIGTERM]
        assert not process.is_alive
        process.kill()  # harmless
        ours.close()

    asyncio.run(scenario())


def test_an_end_before_it_was_watched_is_told_too() -> None:
    async def scenario() -> None:
        popen = subprocess.Popen([sys.executable, "-c", "raise SystemExit(4)"])
        os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        codes: list[int] = []
        Process(popen, codes.append)
        await until(lambda: codes)
        assert codes == [4]

    asyncio.run(scenario())


def test_only_strays_are_reaped() -> None:
    known, stray = (os.posix_spawn("/bin/true", ["true"], {}) for _ in range(2))
    until_blocking(lambda: os.waitid(os.P_PID, known, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    until_blocking(lambda: reap_strays((known,)) or try_reap(known) == 0)
    until_blocking(lambda: reap_strays(()) or try_reap(stray) is None)
    assert try_reap(stray) is None
    assert try_reap(1) is None
