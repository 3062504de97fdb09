"""The zygote as a process of its own, driven packet by packet."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import psutil
import pytest

from gateway.core.model import ModelSpec
from gateway.workers import zygote
from gateway.workers.forking import Exited, Fork, Forked, FromZygote, Preload, Prepared
from gateway.workers.messages import Load, Loaded
from tests.fakes.waiting import GENEROUS_S, is_alive, soon, survivors

FAKE = "tests.fakes.worker_child:main"


class Peer:
    """The controller's end of a zygote."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self.control = control
        self.process = process

    def fork(self, ticket: int) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [theirs.fileno()]))
        self.control.sendmsg([msgspec.msgpack.encode(Fork(ticket))], [rights])
        theirs.close()
        ours.settimeout(GENEROUS_S)
        return ours

    def receive(self) -> tuple[FromZygote, int | None]:
        packet, ancillary, _, _ = self.control.recvmsg(1 << 17, socket.CMSG_SPACE(4))
        fds = array("i", ancillary[0][2]) if ancillary else None
        return msgspec.msgpack.decode(packet, type=FromZygote), fds[0] if fds else None


@contextmanager
def running(*modules: str, entry: str = FAKE) -> Generator[Peer, None, None]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(GENEROUS_S)
    arguments = [sys.executable, "-m", "gateway.workers.zygote", str(theirs.fileno()), str(os.getpid())]
    with ours, subprocess.Popen(arguments, pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE) as process:
        theirs.close()
        ours.send(msgspec.msgpack.encode(Preload(modules, entry)))
        try:
            yield Peer(ours, process)
            ours.close()
            process.wait(30)
        finally:
            process.kill()


def test_a_fork_owns_its_socket_and_nothing_else() -> None:
    with running() as peer:
        assert isinstance(peer.receive()[0], Prepared)
        control = peer.fork(7)
        forked, pidfd = peer.receive()
        assert isinstance(forked, Forked)
        assert forked.ticket == 7
        assert pidfd is not None
        control.send(msgspec.msgpack.encode(Load("x:Y", "ok", ModelSpec("m", 1, "", "", (), ()))))
        assert msgspec.msgpack.decode(control.recv(1 << 17), type=Loaded)
        worker = psutil.Process(forked.pid)
        assert worker.num_fds() == 4
        assert worker.num_threads() == 1
        assert worker.name() == "gateway-spare", "until it has a model to load"
        control.close()
        assert select.select([pidfd], [], [], 5)[0]
        assert peer.receive()[0] == Exited(forked.pid, 0)
        os.close(pidfd)


def test_engines_are_imported_without_a_thread() -> None:
    with running("numpy", "onnxruntime", "no_such_engine") as peer:
        prepared, _ = peer.receive()
        assert isinstance(prepared, Prepared)
        assert [name for name, _ in prepared.missing] == ["no_such_engine"]
        assert psutil.Process(peer.process.pid).num_threads() == 1


def test_a_module_that_starts_a_thread_is_refused() -> None:
    with running("tests.fakes.threaded_module") as peer:
        assert peer.process.stderr is not None
        assert b"started 1 threads" in peer.process.stderr.read()
        assert peer.process.wait(30) == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_everything_ends_with_the_controller(stopped: bool) -> None:
    """A stopped worker cannot see its socket close: the zygote takes it along."""
    with running() as peer:
        peer.receive()
        controls = [peer.fork(1), peer.fork(2)]
        workers = []
        for _ in controls:
            forked, pidfd = peer.receive()
            assert isinstance(forked, Forked)
            assert pidfd is not None
            os.close(pidfd)
            workers.append(psutil.Process(forked.pid))
        if stopped:
            workers[0].suspend()
        peer.control.close()
        assert not survivors(workers)
        for control in controls:
            control.close()


def test_a_terminated_zygote_leaves_its_workers_serving() -> None:
    with running() as peer:
        peer.receive()
        control = peer.fork(1)
        forked, pidfd = peer.receive()
        assert isinstance(forked, Forked)
        assert pidfd is not None
        os.close(pidfd)
        peer.process.terminate()
        assert peer.process.wait(30) == 0
        worker = psutil.Process(forked.pid)
        assert is_alive(worker)
        control.close()
        assert not survivors([worker])


def test_a_worker_that_raises_exits_with_a_traceback() -> None:
    with running(entry="tests.fakes.worker_child:crash") as peer:
        peer.receive()
        control = peer.fork(1)
        forked, pidfd = peer.receive()
        assert isinstance(forked, Forked)
        assert pidfd is not None
        os.close(pidfd)
        assert peer.receive()[0] == Exited(forked.pid, 1)
        control.close()
        peer.control.close()
        assert peer.process.stderr is not None
        assert b"no worker today" in peer.process.stderr.read()


def test_an_orphan_zygote_does_not_start() -> None:
    """PR_SET_PDEATHSIG tells nothing of a parent that was gone before."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        arguments = [sys.executable, "-m", "gateway.workers.zygote", str(theirs.fileno()), "1"]
        assert subprocess.run(arguments, pass_fds=(theirs.fileno(),), timeout=60, check=False).returncode == 1


def test_entries_are_resolved_by_name() -> None:
    assert zygote.resolve("time:perf_counter") is time.perf_counter
    with pytest.raises(AttributeError):
        zygote.resolve("time:nothing")


def test_forks_come_quickly() -> None:
    with running() as peer:
        peer.receive()
        before = time.perf_counter()
        controls = []
        for ticket in range(10):
            controls.append(peer.fork(ticket))
            forked, pidfd = peer.receive()
            assert isinstance(forked, Forked)
            assert pidfd is not None
            os.close(pidfd)
        assert time.perf_counter() - before < soon(2.0)
        for control in controls:
            control.close()
