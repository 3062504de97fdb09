from __future__ import annotations

import socket
import subprocess
import sys

import msgspec

from gateway.cli.bench.child import Reporter, work
from gateway.cli.bench.job import Failed, Job, Progress, ToParent, receive, send
from gateway.cli.bench.plan import BenchError, Plan
from gateway.cli.bench.rest import RestRequest

CALL = RestRequest(b"POST / HTTP/1.1\r\n", b"")


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway.cli.bench.child", str(theirs.fileno())]
    return subprocess.Popen(command, pass_fds=(theirs.fileno(),))


def test_what_it_cannot_do_is_told_to_the_parent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    mine, theirs = socket.socketpair()
    with mine, theirs:
        process = _spawn(theirs)
        send(mine, Job(Plan(model="m", concurrency=1), 0, int(socket.AF_INET), list(address), CALL))
        message = msgspec.msgpack.decode(receive(mine), type=ToParent)
        assert process.wait(30) == 0
    assert message == Failed("cannot connect: Connection refused")


def test_it_ends_when_its_parent_has_gone() -> None:
    mine, theirs = socket.socketpair()
    with theirs:
        process = _spawn(theirs)
    mine.close()
    assert process.wait(30) == 1


def test_a_core_that_does_not_exist_is_told() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        send(mine, Job(Plan(model="m", cpus=(9999,)), 0, int(socket.AF_INET), ["127.0.0.1", 1], CALL))
        try:
            work(theirs, lambda: 0.0)
        except BenchError as error:
            said = str(error)
    assert said == "--cpus: cannot run on core 9999: Invalid argument"


def test_progress_is_told_four_times_a_second() -> None:
    now = [10.0]
    mine, theirs = socket.socketpair()
    with mine, theirs:
        reporter = Reporter(theirs, lambda: now[0])
        for step in range(10):
            now[0] = 10.0 + step * 0.1
            reporter(step, 0)
        theirs.close()
        told = [msgspec.msgpack.decode(receive(mine), type=ToParent) for _ in range(4)]
    assert told == [Progress(0, 0), Progress(3, 0), Progress(6, 0), Progress(9, 0)]
